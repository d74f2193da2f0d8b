import errno
import stat
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.clock import DeviceClock
from bridge.emulated.faults import Faults
from bridge.emulated.files import FileTree


def tree(faults: Faults | None = None) -> FileTree:
    files = FileTree(DeviceClock(), faults or Faults())
    for folder in ("/data/local/tmp", "/storage/emulated/0", "/system/bin"):
        files.mkdir(folder, parents=True)
    files.link("/sdcard", "/storage/emulated/0")
    files.serve("/proc-uptime", lambda: b"1.00 0.50\n")
    files.seal()
    return files


def refused(code: int, act: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:
        act()
    assert errno.errorcode[caught.value.errno] == errno.errorcode[code]


def test_write_and_read() -> None:
    files = tree()
    files.write("/data/a", b"one", mode=0o600, mtime=7)
    files.write("/data/a", b" two", append=True, mtime=8)
    assert files.read("/data/a") == b"one two"
    node = files.stat("/data/a")
    assert (node.size, node.mtime, node.mode) == (7, 8, stat.S_IFREG | 0o600)
    files.write("/data/a", b"new")
    assert files.read("/data/a") == b"new"


def test_a_link_leads_to_its_target() -> None:
    files = tree()
    files.write("/sdcard/x", b"1")
    assert files.read("/storage/emulated/0/x") == b"1"
    assert stat.S_ISLNK(files.stat("/sdcard", follow=False).mode)
    assert stat.S_ISDIR(files.stat("/sdcard").mode)
    files.mkdir("/sdcard/a/b", parents=True)
    assert files.is_dir("/storage/emulated/0/a/b")


def test_a_relative_link_is_seen_from_its_folder() -> None:
    files = tree()
    files.write("/data/local/target", b"t")
    files.link("/data/local/link", "target")
    assert files.read("/data/local/link") == b"t"
    files.write("/data/local/link", b"through")
    assert files.read("/data/local/target") == b"through"


def test_a_ring_of_links() -> None:
    files = tree()
    files.link("/data/a", "/data/b")
    files.link("/data/b", "/data/a")
    refused(errno.ELOOP, lambda: files.read("/data/a"))
    assert not files.exists("/data/a")


def test_made_content() -> None:
    files = tree()
    assert files.read("/proc-uptime") == b"1.00 0.50\n"
    assert files.stat("/proc-uptime").size == 0
    refused(errno.EROFS, lambda: files.write("/proc-uptime", b"x"))


def test_errors() -> None:
    files = tree()
    files.write("/data/file", b"")
    refused(errno.ENOENT, lambda: files.read("/data/none"))
    refused(errno.EISDIR, lambda: files.read("/data"))
    refused(errno.ENOTDIR, lambda: files.read("/data/file/x"))
    refused(errno.ENOTDIR, lambda: list(files.listdir("/data/file")))
    refused(errno.EISDIR, lambda: files.write("/data/local", b""))
    refused(errno.EROFS, lambda: files.write("/system/bin/x", b""))
    refused(errno.EROFS, lambda: files.remove("/system/bin", recursive=True))
    refused(errno.EROFS, lambda: files.chmod("/system/bin", 0o777))
    refused(errno.EROFS, lambda: files.move("/system/bin", "/data/bin"))
    refused(errno.EROFS, lambda: files.write("/database", b""))
    refused(errno.ENOENT, lambda: files.remove("/data/none"))
    refused(errno.EISDIR, lambda: files.remove("/data/local"))
    refused(errno.EEXIST, lambda: files.link("/data/file", "x"))
    refused(errno.EEXIST, lambda: files.mkdir("/data/local"))
    refused(errno.ENOENT, lambda: files.mkdir("/data/a/b"))
    refused(errno.ENOTDIR, lambda: files.mkdir("/data/file/b", parents=True))
    refused(errno.EBUSY, lambda: files.remove("/", recursive=True))


def test_remove_and_move() -> None:
    files = tree()
    files.mkdir("/data/d/e", parents=True)
    files.write("/data/d/e/f", b"1")
    files.move("/data/d/e", "/data/x")
    assert files.read("/data/x/f") == b"1"
    files.move("/data/x/f", "/data/d")
    assert files.read("/data/d/f") == b"1"
    files.remove("/data/d", recursive=True)
    assert [name for name, _ in files.listdir("/data")] == ["local", "x"]


def test_the_null_device_takes_everything() -> None:
    files = tree()
    files.write("/dev/null", b"x" * 100)
    assert not files.exists("/dev/null")


def test_faults() -> None:
    faults = Faults()
    files = tree(faults)
    files.write("/data/a", b"old")
    faults.disk_full = True
    refused(errno.ENOSPC, lambda: files.write("/data/a", b"new", append=True))
    assert files.read("/data/a") == b"old"
    files.write("/data/empty", b"")
    faults.disk_full, faults.read_only = False, True
    refused(errno.EROFS, lambda: files.write("/data/a", b"new"))
    refused(errno.EROFS, lambda: files.mkdir("/data/new"))
    assert files.read("/data/a") == b"old"
    faults.read_only = False
    files.write("/data/a", b"new")
    assert files.read("/data/a") == b"new"


NAMES = st.sampled_from(["a", "b", ".", "..", "", "c.txt"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/data/" + "/".join(names))
ACTS = st.lists(
    st.tuples(st.sampled_from(["write", "mkdir", "remove", "move", "link", "read"]), PATHS, PATHS), max_size=25
)


@given(ACTS)
def test_only_os_errors_and_a_sound_tree(acts: list[tuple[str, str, str]]) -> None:
    files = tree()
    for act, path, other in acts:
        try:
            match act:
                case "write":
                    files.write(path, b"data")
                case "mkdir":
                    files.mkdir(path, parents=True)
                case "remove":
                    files.remove(path, recursive=True)
                case "move":
                    files.move(path, other)
                case "link":
                    files.link(path, other)
                case _:
                    files.read(path)
        except OSError as error:
            assert error.errno
            assert error.filename
    todo, seen = ["/data"] if files.is_dir("/data") else [], set()
    while todo:
        folder = todo.pop()
        for name, node in files.listdir(folder):
            assert node.ino not in seen
            seen.add(node.ino)
            if stat.S_ISDIR(node.mode):
                todo.append(f"{folder}/{name}")
