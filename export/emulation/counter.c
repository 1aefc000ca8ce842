/* A QEMU plugin that counts the guest's instructions.
 *
 *     qemu-aarch64 -plugin libcounter.so,out=FILE PROGRAM
 *
 * writes into FILE, one decimal number a line, the count at each mark the program sets and at last the whole. The
 * program sets a mark by the system call getpriority(0, MARK), which fails and does nothing. Every translated block adds
 * its length each time it runs, so the count is of instructions entered, whatever the thread. Debian does not package qemu-plugin.h: what is used of
 * the interface is declared here. API_VERSION is 1 for QEMU before 9, 2 from then on.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
typedef void (*block_translated)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*block_entered)(unsigned int vcpu, void *data);
typedef void (*program_ended)(qemu_plugin_id_t, void *data);
typedef void (*system_called)(qemu_plugin_id_t, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2,
                              uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8);

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, block_translated);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, block_entered, int flags, void *data);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, system_called);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, program_ended, void *data);

#define NO_REGISTERS 0
#define MARK 0x0ed9ea5d

__attribute__((visibility("default"))) int qemu_plugin_version = API_VERSION;

static uint64_t executed;
static char out_path[4096];

static void write_count(void)
{
    FILE *out = fopen(out_path, "a");
    if (out) {
        fprintf(out, "%llu\n", (unsigned long long)__atomic_load_n(&executed, __ATOMIC_RELAXED));
        fclose(out);
    }
}

static void entered(unsigned int vcpu, void *data)
{
    (void)vcpu;
    __atomic_fetch_add(&executed, (uint64_t)(uintptr_t)data, __ATOMIC_RELAXED);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, entered, NO_REGISTERS,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void ended(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    write_count();
}

static void called(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                   uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)number, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (a1 == 0 && (uint32_t)a2 == MARK) {
        write_count();
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                                                char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0 && strlen(argv[i]) - 4 < sizeof out_path) {
            strcpy(out_path, argv[i] + 4);
        }
    }
    if (!out_path[0]) {
        fprintf(stderr, "counter: out=FILE is missing\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
