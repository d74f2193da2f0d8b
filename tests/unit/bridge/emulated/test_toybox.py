import asyncio
import hashlib

import pytest
from fakes.adb_host import bare_phone, run, until
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.emulated.phone import Phone
from bridge.emulated.shell import Shell, Streams
from bridge.emulated.toybox import TOOLS, absolute, split_flags


async def _sh(phone: Phone, script: str, stdin: bytes = b"") -> tuple[str, str, int]:
    out, err = bytearray(), bytearray()

    async def put(data: bytes | bytearray | memoryview) -> None:
        out.extend(data)

    async def complain(data: bytes | bytearray | memoryview) -> None:
        err.extend(data)

    source = asyncio.StreamReader()
    source.feed_data(stdin)
    source.feed_eof()
    status = await Shell.login(phone, Streams(source, put, complain), asyncio.Event()).run(script)
    return out.decode(), err.decode(), status


def sh(script: str, stdin: bytes = b"") -> tuple[str, str, int]:
    """Standard output, standard error and status of a script in /data/local/tmp of a fresh phone."""

    async def work() -> tuple[str, str, int]:
        return await _sh(bare_phone(), "cd /data/local/tmp; " + script, stdin)

    return run(work())


@pytest.mark.parametrize(
    ("script", "out"),
    [
        ("echo abc >f; cat f f", "abc\nabc\n"),
        ("printf a >f; cat - f", "inputa"),
        ("mkdir d; touch d/b d/a d/.hidden; ls d; ls -a d", "a\nb\n.hidden\na\nb\n"),
        ("mkdir d; ls -d d", "d\n"),
        ("mkdir d e; touch d/x; ls d e", "d:\nx\ne:\n"),
        ("touch f; rm f; ls", ""),
        ("mkdir -p a/b/c; touch a/b/c/f; rm -r a; ls", ""),
        ("rm -f nothing; echo $?", "0\n"),
        ("echo x >a; mv a b; ls; cat b", "b\nx\n"),
        ("echo x >a; mkdir d; mv a d; ls d; cp d/a c; cat c", "a\nx\n"),
        ("touch f; chmod 600 f; stat -c %a f", "600\n"),
        ("printf 12345 >f; stat -c '%s %n' f", "5 f\n"),
        ("echo 1 >f; echo 2 >>f; head -n 1 f; tail -n 1 f", "1\n2\n"),
        ("head -2", "input"),
        ("echo a b >f; wc f; wc -c f", "1 2 4 f\n4 f\n"),
        ("wc -c", "5\n"),
        ("printf 'one\\ntwo\\nthree\\n' >f; grep t f; grep -c t f; grep -v t f", "two\nthree\n2\none\n"),
        ("printf 'a+b\\nab\\naab\\n' >f; grep a+b f; grep -E a+b f; grep -F a+b f", "a+b\nab\naab\na+b\n"),
        ("echo X | grep -i x; echo x | grep -q y; echo $?", "X\n1\n"),
        ("getprop ro.build.version.sdk; getprop no.such; getprop no.such default", "34\n\ndefault\n"),
        ("setprop debug.x 5; getprop debug.x", "5\n"),
        ("whoami; id -u; uname; uname -m", "shell\n2000\nLinux\naarch64\n"),
        ("toybox echo; echo $?", "127\n"),
        ("toybox whoami", "shell\n"),
        ("sleep 0; echo $?", "0\n"),
        ("pidof nothing; echo $?", "1\n"),
        ("ls -l /sdcard | wc -l; ls -l /storage/emulated | wc -l", "1\n1\n"),
    ],
)
def test_output(script: str, out: str) -> None:
    assert sh(script, b"input")[0] == out


@pytest.mark.parametrize(
    ("script", "words", "status"),
    [
        ("cat nothing", "cat: nothing: No such file or directory\n", 1),
        ("cat /data", "cat: /data: Is a directory\n", 1),
        ("ls /nowhere", "ls: /nowhere: No such file or directory\n", 1),
        ("rm nothing", "rm: nothing: No such file or directory\n", 1),
        ("rm /data/local", "rm: /data/local: Is a directory\n", 1),
        ("mkdir a/b", "mkdir: a/b: No such file or directory\n", 1),
        ("mkdir /data", "mkdir: /data: File exists\n", 1),
        ("touch /system/x", "touch: /system/x: Read-only file system\n", 1),
        ("mv a", "mv: Need 2 arguments\n", 1),
        ("cp a", "cp: Need 2 arguments\n", 1),
        ("chmod x f", "chmod: bad mode\n", 1),
        ("md5sum nothing", "md5sum: nothing: No such file or directory\n", 1),
        ("sleep x", "sleep: bad number\n", 1),
        ("sleep -1", "sleep: bad number\n", 1),
        ("sleep nan", "sleep: bad number\n", 1),
        ("stat nothing", "stat: 'nothing': No such file or directory\n", 1),
        ("head nothing", "head: nothing: No such file or directory\n", 1),
        ("grep x nothing", "grep: nothing: No such file or directory\n", 2),
        ("grep", "grep: Needs 1 argument\n", 2),
        ("grep -E '('", "grep: bad regex '('\n", 2),
        ("setprop a", "setprop: Need 2 arguments\n", 1),
        ("setprop ro.secure 0", "Failed to set property 'ro.secure' to '0'.\n", 1),
        ("kill 99999", "kill: 99999: No such process\n", 1),
        ("pkill nothing", "", 1),
    ],
)
def test_errors(script: str, words: str, status: int) -> None:
    assert sh(script) == ("", words, status)


@pytest.mark.parametrize("tool", ["md5sum", "sha1sum", "sha256sum"])
def test_sums(tool: str) -> None:
    digest = hashlib.new(tool.removesuffix("sum"), b"payload").hexdigest()
    assert (
        sh(f"printf payload >f; {tool} f; {tool} -b f; {tool}", b"payload")[0]
        == f"{digest}  f\n{digest}\n{digest}  -\n"
    )


def test_date_is_the_phones() -> None:
    async def work() -> None:
        phone = bare_phone()
        phone.clock.step(-(phone.clock.wall_ns() // 10**9) + 86_399)
        assert (await _sh(phone, "date +%Y-%m-%dT%H:%M"))[0] == "1970-01-01T23:59\n"
        text, _, _ = await _sh(phone, "date +%s.%N")
        seconds, _, nanos = text.strip().partition(".")
        assert seconds == "86399"
        assert len(nanos) == 9
        assert (await _sh(phone, "date"))[0].startswith("Thu Jan  1 23:59:")

    run(work())


def test_uptime_and_boot_id() -> None:
    async def work() -> None:
        phone = bare_phone()
        boot, idle = (await _sh(phone, "cat /proc/uptime"))[0].split()
        assert abs(float(boot) - phone.clock.boot_ns() / 1e9) < 0.5
        assert float(idle) < float(boot)
        first = (await _sh(phone, "cat /proc/sys/kernel/random/boot_id"))[0]
        phone.shut_down()
        phone.boot()
        assert (await _sh(phone, "cat /proc/sys/kernel/random/boot_id"))[0] != first

    run(work())


def test_processes() -> None:
    async def work() -> None:
        phone = bare_phone()
        task = asyncio.ensure_future(_sh(phone, "sleep 60; echo $?"))
        await until(lambda: phone.processes)
        pid = (await _sh(phone, "pidof sleep"))[0].strip()
        assert f" {pid} " in (await _sh(phone, "ps -A"))[0]
        assert (await _sh(phone, f"kill -9 {pid}; echo $?"))[0] == "0\n"
        assert (await task)[0] == "137\n"

    run(work())


def test_a_full_disk() -> None:
    async def work() -> None:
        phone = bare_phone()
        phone.faults.disk_full = True
        out, err, status = await _sh(phone, "echo x >/data/local/tmp/f")
        assert (out, status) == ("", 1)
        assert "No space left on device" in err
        assert " 100% /data" in (await _sh(phone, "df"))[0]

    run(work())


@given(
    st.sampled_from(sorted(set(TOOLS) - {"sleep", "reboot"})),
    st.lists(st.text("-abnrE0129/.x(+", max_size=5), max_size=3),
)
@example("pkill", ["("])
@example("grep", ["(", "x"])
def test_no_arguments_crash_a_tool(tool: str, words: list[str]) -> None:
    out, err, status = sh(" ".join([tool, *(f"'{word}'" for word in words)]))
    assert 0 <= status <= 255
    assert "Traceback" not in out + err


def test_paths_and_flags() -> None:
    assert absolute("/", "a") == "/a"
    assert absolute("/data", "/b") == "/b"
    assert split_flags(["ls", "-la", "-d", "--", "-x"]) == ({"l", "a", "d"}, ["-x"])
    assert split_flags(["cat", "-"]) == (set(), ["-"])
