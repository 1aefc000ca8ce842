/* A microphone that is not there: an ALSA ioplug that captures known sound in real time and fails on demand.
 *
 * Frame n holds n * 40503 + channel * 12345 in as many low bits as the format has (16, or 24 in S32_LE), so that a test
 * can tell from the samples alone which frames were lost. n follows the wall clock from the first start after an open.
 *
 * The control file says, in its first word: run; stall (no sound, no error); unplug (-ENODEV everywhere);
 * busy (open fails with -EBUSY); overrun:K:FRAMES (once for each new K: deaf while FRAMES pass, then an xrun);
 * hang (no sound, and stopping never returns while the word stands); broken (an xrun that no preparing ends: PortAudio
 * tries again without a pause, and writes a line to standard error each time).
 *
 * Beside the control file, NAME.sound (raw S16, mono) is played instead of the pattern, over and over, from its
 * beginning whenever capture starts or the file is another one; NAME.rate is the only rate from the next open on.
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

typedef struct {
    snd_pcm_ioplug_t io;
    char *control;
    double started, deaf_until; /* seconds */
    int64_t base, next;         /* frame the hardware buffer began at; frame the next transfer gives */
    int64_t frozen;             /* frames there when it went deaf, -1 while it hears */
    int overruns_done;
    int16_t *sound;
    int64_t n_sound, sound_base; /* its frames; the frame at which it begins */
    ino_t sound_file;
} fake_t;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void read_control(fake_t *fake, char *word, size_t size) {
    FILE *file = fopen(fake->control, "r");
    size_t n = file ? fread(word, 1, size - 1, file) : 0;
    if (file) fclose(file);
    word[n] = 0;
    word[strcspn(word, " \n")] = 0;
}

static int broken(fake_t *fake) {
    char word[64];
    read_control(fake, word, sizeof word);
    return !strcmp(word, "broken");
}

static FILE *beside(fake_t *fake, const char *ending) {
    char path[512];
    snprintf(path, sizeof path, "%s.%s", fake->control, ending);
    return fopen(path, "r");
}

static void look_for_sound(fake_t *fake) {
    FILE *file = beside(fake, "sound");
    struct stat about = {0};
    if (!file && errno != ENOENT) return; /* such as no descriptors left: what was loaded goes on */
    if (file) fstat(fileno(file), &about);
    if (about.st_ino != fake->sound_file) {
        free(fake->sound);
        fake->sound = about.st_size ? malloc(about.st_size) : NULL;
        fake->n_sound = fake->sound ? (int64_t)fread(fake->sound, 2, about.st_size / 2, file) : 0;
        fake->sound_file = about.st_ino;
        fake->sound_base = fake->next;
    }
    if (file) fclose(file);
}

static int64_t produced(fake_t *fake) { return (int64_t)((now() - fake->started) * fake->io.rate); }

/* What the control file asks for now: 0, -ENODEV, or -EAGAIN while no sound comes. */
static int state(fake_t *fake) {
    char word[64];
    int serial, frames;
    read_control(fake, word, sizeof word);
    if (sscanf(word, "overrun:%d:%d", &serial, &frames) == 2 && serial > fake->overruns_done) {
        fake->overruns_done = serial;
        fake->deaf_until = now() + (double)frames / fake->io.rate;
    }
    if (!strcmp(word, "unplug")) return -ENODEV;
    return !strcmp(word, "stall") || !strcmp(word, "hang") || now() < fake->deaf_until ? -EAGAIN : 0;
}

static int fake_start(snd_pcm_ioplug_t *io) {
    fake_t *fake = io->private_data;
    if (!fake->started) fake->started = now();
    fake->base = fake->next = fake->sound_base = produced(fake);
    return 0;
}

static int fake_stop(snd_pcm_ioplug_t *io) {
    fake_t *fake = io->private_data;
    char word[64];
    for (read_control(fake, word, sizeof word); !strcmp(word, "hang"); read_control(fake, word, sizeof word)) usleep(50000);
    return 0;
}

static snd_pcm_sframes_t fake_pointer(snd_pcm_ioplug_t *io) {
    fake_t *fake = io->private_data;
    int failed = state(fake);
    if (failed == -ENODEV) return failed;
    if (broken(fake)) return -EPIPE;
    if (failed && fake->frozen < 0) fake->frozen = produced(fake);
    int64_t there = failed ? fake->frozen : produced(fake);
    if (!failed) fake->frozen = -1;
    if (!failed && fake->deaf_until) {
        fake->deaf_until = 0;
        return -EPIPE;
    }
    if (there - fake->next > (int64_t)io->buffer_size) return -EPIPE;
    return (there - fake->base) % io->buffer_size;
}

static snd_pcm_sframes_t fake_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                       snd_pcm_uframes_t offset, snd_pcm_uframes_t size) {
    fake_t *fake = io->private_data;
    look_for_sound(fake);
    for (unsigned channel = 0; channel < io->channels; channel++) {
        char *at = (char *)areas[channel].addr + (areas[channel].first + areas[channel].step * offset) / 8;
        for (snd_pcm_uframes_t i = 0; i < size; i++, at += areas[channel].step / 8) {
            uint32_t value = (uint32_t)(fake->next + i) * 40503u + channel * 12345u;
            if (fake->n_sound) {
                value = (uint32_t)(int32_t)fake->sound[(fake->next + i - fake->sound_base) % fake->n_sound];
                if (io->format == SND_PCM_FORMAT_S32_LE) value <<= 8;
            }
            if (io->format == SND_PCM_FORMAT_S32_LE) *(uint32_t *)at = value << 8;
            else *(uint16_t *)at = (uint16_t)value;
        }
    }
    fake->next += size;
    return size;
}

static int fake_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned n, unsigned short *revents) {
    fake_t *fake = io->private_data;
    uint64_t ticks;
    int failed = state(fake);
    (void)n;
    *revents = 0;
    if (fds[0].revents & POLLIN && read(io->poll_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN) return -errno;
    if (failed == -ENODEV) return failed;
    if (!failed && fds[0].revents & POLLIN) *revents = POLLIN;
    return 0;
}

static int fake_prepare(snd_pcm_ioplug_t *io) {
    fake_t *fake = io->private_data;
    struct itimerspec every = {{0, 5000000}, {0, 5000000}};
    if (broken(fake)) return -EIO;
    fake->base = fake->next = fake->started ? produced(fake) : 0;
    fake->sound_base = fake->base;
    return timerfd_settime(io->poll_fd, 0, &every, NULL) < 0 ? -errno : 0;
}

static int fake_close(snd_pcm_ioplug_t *io) {
    fake_t *fake = io->private_data;
    close(io->poll_fd);
    free(fake->sound);
    free(fake->control);
    free(fake);
    return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
    .start = fake_start, .stop = fake_stop, .pointer = fake_pointer, .transfer = fake_transfer,
    .prepare = fake_prepare, .poll_revents = fake_revents, .close = fake_close,
};

SND_PCM_PLUGIN_DEFINE_FUNC(fakemic) {
    snd_config_iterator_t i, next;
    const char *control = NULL, *format_name = "S16_LE";
    long rate = 16000, channels = 1;
    char word[64];
    (void)root;
    snd_config_for_each(i, next, conf) {
        snd_config_t *entry = snd_config_iterator_entry(i);
        const char *id;
        if (snd_config_get_id(entry, &id) < 0) continue;
        if (!strcmp(id, "control")) snd_config_get_string(entry, &control);
        if (!strcmp(id, "format")) snd_config_get_string(entry, &format_name);
        if (!strcmp(id, "rate")) snd_config_get_integer(entry, &rate);
        if (!strcmp(id, "channels")) snd_config_get_integer(entry, &channels);
    }
    if (stream != SND_PCM_STREAM_CAPTURE || !control) return -EINVAL;
    fake_t *fake = calloc(1, sizeof *fake);
    fake->frozen = -1;
    fake->control = strdup(control);
    read_control(fake, word, sizeof word);
    FILE *other = beside(fake, "rate");
    if (other) {
        if (fscanf(other, "%ld", &rate) != 1) rate = 16000;
        fclose(other);
    }
    int failed = !strcmp(word, "unplug") ? -ENODEV : !strcmp(word, "busy") ? -EBUSY : 0;
    fake->io.version = SND_PCM_IOPLUG_VERSION;
    fake->io.name = "Fake microphone";
    fake->io.callback = &callbacks;
    fake->io.private_data = fake;
    fake->io.poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    fake->io.poll_events = POLLIN;
    sscanf(word, "overrun:%d:", &fake->overruns_done); /* one asked of an earlier open is over */
    if (!failed) failed = snd_pcm_ioplug_create(&fake->io, name, stream, mode);
    if (failed < 0) {
        fake_close(&fake->io);
        return failed;
    }
    unsigned accesses[] = {SND_PCM_ACCESS_MMAP_INTERLEAVED, SND_PCM_ACCESS_RW_INTERLEAVED};
    unsigned formats[] = {snd_pcm_format_value(format_name)};
    snd_pcm_ioplug_set_param_list(&fake->io, SND_PCM_IOPLUG_HW_ACCESS, 2, accesses);
    snd_pcm_ioplug_set_param_list(&fake->io, SND_PCM_IOPLUG_HW_FORMAT, 1, formats);
    snd_pcm_ioplug_set_param_minmax(&fake->io, SND_PCM_IOPLUG_HW_CHANNELS, channels, channels);
    snd_pcm_ioplug_set_param_minmax(&fake->io, SND_PCM_IOPLUG_HW_RATE, rate, rate);
    snd_pcm_ioplug_set_param_minmax(&fake->io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 256, 1 << 18);
    snd_pcm_ioplug_set_param_minmax(&fake->io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 1024, 1 << 20);
    snd_pcm_ioplug_set_param_minmax(&fake->io, SND_PCM_IOPLUG_HW_PERIODS, 2, 1024);
    *pcmp = fake->io.pcm;
    return 0;
}
SND_PCM_PLUGIN_SYMBOL(fakemic);
