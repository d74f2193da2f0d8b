import asyncio
from dataclasses import dataclass, field

import pytest
from fakes.adb_host import bare_phone, run, until
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.phone import Phone
from bridge.emulated.program import Io
from bridge.emulated.shell import Shell, Streams, format_printf, unescape


@dataclass
class Ran:
    """What a script printed, its status, and the phone after it."""

    out: str
    err: str
    status: int
    phone: Phone
    gaps: list[str] = field(default_factory=list)


async def _execute(phone: Phone, script: str | None, stdin: bytes) -> Ran:
    out, err = bytearray(), bytearray()

    async def put(data: bytes | bytearray | memoryview) -> None:
        out.extend(data)

    async def complain(data: bytes | bytearray | memoryview) -> None:
        err.extend(data)

    source = asyncio.StreamReader()
    source.feed_data(stdin)
    source.feed_eof()
    shell = Shell.login(phone, Streams(source, put, complain), asyncio.Event())
    status = await (shell.run_lines() if script is None else shell.run(script))
    return Ran(out.decode(errors="replace"), err.decode(errors="replace"), status, phone, phone.gaps)


async def args(io: Io, phone: Phone) -> int:
    """A program that shows what it got."""
    await io.write("|".join(io.argv).encode() + b"\n")
    return 0


async def env(io: Io, phone: Phone) -> int:
    await io.write("".join(f"{name}={value}\n" for name, value in sorted(io.env.items())).encode())
    return 0


async def fails(io: Io, phone: Phone) -> int:
    await io.write(b"out\n")
    await io.error(b"err\n")
    return 300 + 7


async def breaks(io: Io, phone: Phone) -> int:
    phone.files.write("/system/x", b"")
    return 0


PROGRAMS = {"args": args, "env": env, "fails": fails, "breaks": breaks}


def sh(script: str | None, stdin: bytes = b"") -> Ran:
    async def work() -> Ran:
        phone = bare_phone()
        phone.programs.update(PROGRAMS)
        return await _execute(phone, script, stdin)

    return run(work())


@pytest.mark.parametrize(
    ("script", "out"),
    [
        ("echo hello", "hello\n"),
        ("echo -n a; echo b", "ab\n"),
        ("echo 'a  b'   c", "a  b c\n"),
        ('X="a  b"; echo $X; echo "$X"', "a b\na  b\n"),
        ("X=1 Y=$X; echo $X$Y", "11\n"),
        ("X=5; args pre$X'post'", "args|pre5post\n"),
        ("false; echo $?; true; echo $?", "1\n0\n"),
        ("false && echo no; false || echo yes", "yes\n"),
        ("true && echo a || echo b", "a\n"),
        ("! true; echo $?", "1\n"),
        ("echo $(echo in; echo side)", "in side\n"),
        ('args "$(echo a; echo b)"', "args|a\nb\n"),
        ("args '' a", "args||a\n"),
        ("args $NOTHING a", "args|a\n"),
        ('args "$NOTHING" a', "args||a\n"),
        ("echo ${NOTHING:-else}", "else\n"),
        ("if false; then echo a; elif true; then echo b; else echo c; fi", "b\n"),
        ("if false; then echo a; fi; echo $?", "0\n"),
        ("for x in 1 2 '3 4'; do args $x; done", "args|1\nargs|2\nargs|3|4\n"),
        ("{ echo a; echo b; } | grep b", "b\n"),
        ("(cd /data; pwd); pwd", "/data\n/\n"),
        ("X=1; (X=2); echo $X", "1\n"),
        ("cd /data/local && echo $PWD", "/data/local\n"),
        ("echo out >/data/local/tmp/f; echo more >>/data/local/tmp/f; cat /data/local/tmp/f", "out\nmore\n"),
        ("cat </proc/sys/kernel/random/boot_id | wc -l", "1\n"),
        ("sh -c 'cat /proc/$$/cmdline; :'", "sh\0-c\0cat /proc/$$/cmdline; :\0"),
        ("cat /proc/1/cmdline /proc/self 2>/dev/null; echo $?", "1\n"),
        ("cd /data/local/tmp; echo x >a.txt; echo x >b.txt; echo *.txt; echo *.jpg", "a.txt b.txt\n*.jpg\n"),
        ("echo x >/data/local/tmp/a.txt; echo /data/local/tmp/?.txt '*'", "/data/local/tmp/a.txt *\n"),
        ("fails 2>&1", "out\nerr\n"),
        ("fails >/dev/null 2>&1; echo $?", "51\n"),
        ("test -d /data && echo folder", "folder\n"),
        ("[ -f /proc/uptime ] && echo file", "file\n"),
        ("[ 3 -gt 2 -a a = a ] && echo both", "both\n"),
        ("[ ! -e /nowhere ] && echo none", "none\n"),
        ("which getprop args", "/system/bin/getprop\n/system/bin/args\n"),
        ("command -v nothing; echo $?", "1\n"),
        ("sh -c 'echo $0x; exit 4'; echo $?", "x\n4\n"),
        ("echo 'echo inner' | sh", "inner\n"),
        ("eval 'X=9'; echo $X", "9\n"),
        ("unset PWD HOME; echo $HOME.", ".\n"),
        (r"printf '%s-%03d\n' a 7 b 8", "a-007\nb-008\n"),
        ("/system/bin/getprop ro.product.model", "Small\n"),
        ("echo a # comment", "a\n"),
        ("export ANDROID_LOG_TAGS=''; exec args '-d'", "args|-d\n"),
        ("echo 1 | { read x; echo got $x; }", "got 1\n"),
    ],
)
def test_output(script: str, out: str) -> None:
    ran = sh(script)
    assert (ran.out, ran.gaps) == (out, [])


def test_the_environment_of_a_program() -> None:
    ran = sh("PRIVATE=1; export PUBLIC=2; ONCE=3 env; env")
    first, second = ran.out.split("USER=shell\n")[:2]
    assert "ONCE=3\n" in first
    assert "PUBLIC=2\n" in first
    assert "PRIVATE" not in ran.out
    assert "ONCE" not in second


def test_status_and_standard_error() -> None:
    ran = sh("fails")
    assert (ran.out, ran.err, ran.status) == ("out\n", "err\n", 51)
    assert sh("exit 3; echo no").status == 3
    assert sh("false").status == 1


def test_an_unknown_command_is_a_gap() -> None:
    ran = sh("frobnicate -x 1")
    assert (ran.err, ran.status) == ("/system/bin/sh: frobnicate: inaccessible or not found\n", 127)
    assert ran.gaps == ["command: frobnicate -x 1"]
    assert sh("/data/nothing").err == "/system/bin/sh: /data/nothing: not found\n"
    assert sh("echo >/data/x; /data/x").status == 126


def test_outside_the_grammar_is_a_gap() -> None:
    ran = sh("echo `date`")
    assert ran.status == 1
    assert "syntax error" in ran.err
    assert ran.gaps == ["syntax: echo `date`"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo x >/system/bin/new", "can't create /system/bin/new: Read-only file system"),
        ("cat </nowhere", "can't open /nowhere: No such file or directory"),
        ("cd /nowhere", "cd: /nowhere: No such file or directory"),
        ("[ a", "[: missing ]"),
        ("[ a -frob b ]", "unexpected operator"),
        ("[ a -gt 1 ]", "[: "),
        ("printf", "usage"),
        ("breaks", "breaks: Read-only file system"),
    ],
)
def test_errors(script: str, words: str) -> None:
    ran = sh(script)
    assert words in ran.err
    assert ran.status != 0


def test_commands_from_standard_input() -> None:
    # The form that a clock probe keeps open (devices.md section 7).
    ran = sh('while read l; do eval "$l"; done', stdin=b"echo a\nX=1\necho $X\n")
    assert ran.out == "a\n1\n"
    ran = sh(None, stdin=b"echo a\nexit 6\necho b\n")
    assert (ran.out, ran.status) == ("a\n", 6)


def test_the_clock_variable_is_the_phones() -> None:
    async def work() -> tuple[str, int]:
        phone = bare_phone()
        phone.clock.step(-86_400)
        ran = await _execute(phone, "echo $EPOCHREALTIME", b"")
        return ran.out.strip(), phone.clock.wall_ns()

    text, wall = run(work())
    seconds, _, micros = text.partition(".")
    assert len(micros) == 6
    assert abs(int(seconds) - wall // 10**9) <= 1


def test_a_reader_that_ends_ends_its_writers() -> None:
    async def work() -> str:
        phone = bare_phone()

        async def forever(io: Io, phone: Phone) -> int:
            while True:
                await io.write(b"line\n")

        phone.programs["forever"] = forever
        ran = await _execute(phone, "forever | head -n 2", b"")
        assert not phone.processes
        return ran.out

    assert run(work()) == "line\nline\n"


def test_a_long_line_goes_through_a_pipe() -> None:
    async def work() -> Ran:
        phone = bare_phone()
        phone.files.write("/data/long", b"x" * 3_000_000 + b"\nend\n")
        return await _execute(phone, "cat /data/long | grep end; cat </data/long | wc -c; grep -c x </data/long", b"")

    assert run(work()).out.splitlines()[:2] == ["end", "3000005"]


def test_kill_ends_a_program() -> None:
    async def work() -> Ran:
        phone = bare_phone()

        async def sleeper(io: Io, phone: Phone) -> int:
            await asyncio.Event().wait()
            return 0

        phone.programs["sleeper"] = sleeper
        task = asyncio.ensure_future(_execute(phone, "sleeper; echo $?", b""))
        await until(lambda: phone.processes)
        assert phone.kill("sleeper") == 1
        return await task

    assert run(work()).out == "137\n"


def test_a_hang_up_ends_a_loop() -> None:
    async def work() -> None:
        hangup = asyncio.Event()

        async def put(data: bytes | bytearray | memoryview) -> None:
            await asyncio.sleep(0)
            if hangup.is_set():
                raise BrokenPipeError

        source = asyncio.StreamReader()
        shell = Shell.login(bare_phone(), Streams(source, put, put), hangup)
        task = asyncio.ensure_future(shell.run("while true; do echo x; done"))
        await asyncio.sleep(0.01)
        hangup.set()
        with pytest.raises(BrokenPipeError):
            await task

    run(work())


@given(st.text(st.characters(codec="utf-8", exclude_characters="'\0"), max_size=40))
def test_single_quotes_pass_anything(text: str) -> None:
    assert sh(f"printf %s '{text}'").out == text.replace("\r\n", "\r\n")


@given(st.text(st.sampled_from("ab $'\"\\;&|(){}\n=*?[]!`-n$"), max_size=40))
def test_any_script_ends_with_a_status(script: str) -> None:
    assert 0 <= sh(script).status <= 255


def test_escapes() -> None:
    assert unescape(r"a\tb\\n\q") == "a\tb\\n\\q"
    assert format_printf("%%%5s|%-4d|%x|%c", ["ab", "7", "255", "xyz"]) == "%   ab|7   |ff|x"
    assert format_printf("%d\\n", ["none"]) == "0\n"
