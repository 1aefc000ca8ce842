"""The service's files: what install writes below a root, and what systemd says of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_asd.bundle.bundle import Bundle, save_bundle
from edge_asd.cli import main
from edge_asd.config import load_config
from edge_asd.errors import DataError
from edge_asd.service.install import CONFIG, NETWORK, UDEV, UNIT, Microphone, hidden_home, udev_rule, unit_text

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
needs_systemctl = pytest.mark.skipif(shutil.which("systemctl") is None, reason="needs systemctl")
USB = Microphone("mic0", "usb:0d8c:0014:C-Media_USB")
PROGRAM = "/opt/edge-asd/bin/edge-asd"
WANTS = UNIT.parent / "multi-user.target.wants/edge-asd.service"
PORT = Microphone("mic0", "usb-port:1-1.2,1")


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "fan.asd"
    save_bundle(tiny_bundle, path)
    return path


def install(root: Path, bundle: Path, *more: str) -> int:
    program = root / PROGRAM.lstrip("/")
    program.parent.mkdir(parents=True, exist_ok=True)
    program.touch()
    words = ["--root", str(root), "--bundle", str(bundle), "--program", PROGRAM, *more]
    return main(["service", "install", *words])


def test_an_image_gets_unit_bundle_and_a_config_that_run_understands(tmp_path: Path, bundle: Path) -> None:
    root = tmp_path / "image"
    assert install(root, bundle, "--device", USB.stable_name, "--channel", "1") == 0
    unit = (root / UNIT).read_text()
    assert "ExecStart=/opt/edge-asd/bin/edge-asd run --wait --config /etc/edge-asd/config.yaml\n" in unit
    assert "@PROGRAM@" not in unit
    config = load_config(root / CONFIG, environment={}).config
    assert config.model.bundle == str(root / "etc/edge-asd/fan.asd")
    assert (config.audio.device, dict(config.audio.aliases)) == ("mic0", {"mic0": USB.stable_name})
    assert config.audio.channel == 1
    assert (root / "etc/edge-asd/fan.asd").read_bytes() == bundle.read_bytes()
    assert 'ATTR{id}="mic0"' in (root / UDEV).read_text()
    assert not (root / NETWORK).exists()


def test_the_services_own_user_can_read_its_files_whatever_the_umask_was(tmp_path: Path, bundle: Path) -> None:
    before = os.umask(0o077)
    try:
        assert install(tmp_path / "image", bundle, "--device", "mic0") == 0
    finally:
        os.umask(before)
    for path in (UNIT, CONFIG, CONFIG.with_name("fan.asd")):
        assert (tmp_path / "image" / path).stat().st_mode & 0o777 == 0o644


def test_installed_again_it_upgrades_and_keeps_what_was_edited(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "image"
    install(root, bundle, "--device", "mic0")
    config = root / CONFIG
    config.write_text(config.read_text() + "alarm:\n  confirm_s: 7\n")
    (root / UNIT).write_text("old")
    capsys.readouterr()
    assert install(root, bundle, "--device", "mic0", "--network") == 0
    out, err = capsys.readouterr()
    assert "Type=notify" in (root / UNIT).read_text()
    assert "confirm_s: 7" in config.read_text() and "is kept" in err
    assert str(root / NETWORK) in out and "fan.asd" not in out, "what is the same is not written again"
    assert install(root, bundle, "--device", "mic0", "--replace-config") == 0
    assert "confirm_s" not in config.read_text()


def test_a_kept_config_that_is_wrong_or_names_another_bundle_is_told(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "image"
    install(root, bundle, "--device", "mic0")
    (root / CONFIG).write_text("model: {bundle: other.asd}\n")
    assert install(root, bundle, "--device", "mic0") == 0
    assert "does not name that bundle, but" in capsys.readouterr().err
    (root / CONFIG).write_text("machines: {fan: {bundle: fan.asd, device: a}, pump: {bundle: pump.asd, device: b}}\n")
    assert install(root, bundle, "--device", "mic0") == 0
    assert "warning" not in capsys.readouterr().err
    (root / CONFIG).write_text("modle: {}\n")
    assert install(root, bundle, "--device", "mic0") == 78


def test_the_service_of_an_image_starts_at_its_boot(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "image"
    assert install(root, bundle, "--device", "mic0") == 0
    out, err = capsys.readouterr()
    assert f"enabled {root / WANTS}\n" in out and err == ""
    assert (root / WANTS).is_symlink() and (root / WANTS).resolve() == (root / UNIT).resolve()
    assert install(root, bundle, "--device", "mic0") == 0
    assert "enabled" not in capsys.readouterr().out
    (root / WANTS).unlink()
    (root / WANTS).symlink_to(f"/{UNIT}")  # systemctl enable
    assert install(root, bundle, "--device", "mic0") == 0
    assert str((root / WANTS).readlink()) == f"/{UNIT}"
    (root / WANTS).unlink()
    (root / WANTS).symlink_to("/nowhere")
    assert install(root, bundle, "--device", "mic0") == 0
    assert (root / WANTS).resolve() == (root / UNIT).resolve()
    capsys.readouterr()
    assert main(["service", "uninstall", "--root", str(root)]) == 0
    assert f"removed {root / WANTS}\n" in capsys.readouterr().out
    assert not os.path.lexists(root / WANTS)


@needs_systemctl
def test_systemctl_calls_the_service_of_an_image_enabled(tmp_path: Path, bundle: Path) -> None:
    assert install(tmp_path / "image", bundle, "--device", "mic0") == 0
    command = ["systemctl", f"--root={tmp_path / 'image'}", "is-enabled", "edge-asd.service"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "enabled\n"


def test_a_program_that_the_image_has_not_is_told(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "image"
    assert install(root, bundle, "--device", "mic0", "--program", "/usr/bin/edge-asd") == 0
    err = capsys.readouterr().err
    assert "the image has no /usr/bin/edge-asd; install edge-asd there, or name" in err and "--program" in err
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/edge-asd").symlink_to("/opt/only/in/the/image")
    assert install(root, bundle, "--device", "mic0", "--program", "/usr/bin/edge-asd") == 0
    assert "has no" not in capsys.readouterr().err


def test_uninstall_keeps_events_unless_asked(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "image"
    install(root, bundle, "--device", USB.stable_name)
    state = root / "var/lib/private/edge-asd"
    state.mkdir(parents=True)
    (root / "var/lib/edge-asd").symlink_to("private/edge-asd")
    assert main(["service", "uninstall", "--root", str(root)]) == 0
    assert not (root / UNIT).exists() and not (root / UDEV).exists()
    assert (root / CONFIG).exists() and state.exists()
    assert main(["service", "uninstall", "--root", str(root), "--purge"]) == 0
    assert not (root / CONFIG).exists() and not state.exists() and not (root / "var/lib/edge-asd").is_symlink()
    capsys.readouterr()
    assert main(["service", "uninstall", "--root", str(root)]) == 0
    assert "nothing was installed" in capsys.readouterr().err


def test_a_bundle_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    broken = tmp_path / "fan.asd"
    broken.write_bytes(b"no bundle")
    assert install(tmp_path / "image", broken, "--device", "mic0") == 65
    assert [path.name for path in (tmp_path / "image").iterdir()] == ["opt"]
    assert install(tmp_path / "image", tmp_path / "none.asd", "--device", "mic0") == 66


def test_a_program_in_a_home_that_the_unit_hides_is_told(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(tmp_path / "image", bundle, "--device", "mic0") == 0
    assert "hidden" not in capsys.readouterr().err
    assert install(tmp_path / "image", bundle, "--device", "mic0", "--program", "/home/pi/venv/bin/edge-asd") == 0
    err = capsys.readouterr().err
    assert "/home/pi/venv/bin/edge-asd" in err and "/opt/edge-asd" in err
    assert hidden_home(Path("/opt/edge-asd"), Path("/root/.pyenv/versions/3.11.7")) is not None
    assert hidden_home(Path("/opt/edge-asd"), Path("/homestead")) is None


@pytest.mark.parametrize("action", ["install", "uninstall", "status", "logs"])
def test_without_systemd_the_error_names_a_way_out_that_there_is(
    action: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs here")
    more = ["--bundle", str(bundle), "--device", "mic0"] if action == "install" else []
    assert main(["service", action, *more]) == 69
    remedy = capsys.readouterr().err.split("systemd does not run here; ")[1]
    assert main(["service", action, "--help"]) == 0
    assert ("--root DIR" in remedy) == ("--root DIR" in capsys.readouterr().out)
    assert ("write the files" in remedy) == (action == "install")


def test_no_action_is_a_usage_error() -> None:
    assert main(["service"]) == 2


def test_rules_name_usb_cards_and_leave_others_alone() -> None:
    assert 'ATTRS{idVendor}=="0d8c", ATTRS{idProduct}=="0014", ATTRS{serial}=="C-Media?USB"' in udev_rule(USB)
    assert 'KERNELS=="1-1.2"' in udev_rule(PORT)
    assert udev_rule(Microphone("mic0", "card:sndrpigooglevoi")) == ""
    assert udev_rule(Microphone("no card id", USB.stable_name)) == ""


def test_a_path_that_systemd_would_read_otherwise_is_refused() -> None:
    for path in ("edge-asd", "/opt/my programs/edge-asd", "/opt/%h/edge-asd"):
        with pytest.raises(DataError, match="cannot stand in a unit"):
            unit_text(path)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "edge-asd.service"
    unit.write_text(unit_text(shutil.which("true") or "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize(("network", "limit"), [(False, 1.0), (True, 1.6)])
def test_the_unit_is_as_closed_as_promised(tmp_path: Path, network: bool, limit: float) -> None:
    (tmp_path / "edge-asd.service").write_text(unit_text("/bin/true"))
    if network:
        drop_in = tmp_path / "edge-asd.service.d/network.conf"
        drop_in.parent.mkdir()
        drop_in.write_text((Path(__file__).parents[2] / "edge_asd/service/network.conf").read_text())
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={round(limit * 10)}", "--no-pager"]
    environment = {"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*command, "edge-asd.service"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-300:]
    verdict = next(line for line in done.stdout.splitlines() if "Overall exposure" in line)
    assert float(verdict.split(":")[1].split()[0]) <= limit
