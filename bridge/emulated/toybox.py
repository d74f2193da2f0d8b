"""The small file and system tools of the emulated phone, with the wording of Android's toybox."""

from __future__ import annotations

import asyncio
import hashlib
import re
import stat
import time
from collections.abc import Awaitable, Callable, Mapping

from bridge.emulated.files import Inode
from bridge.emulated.netcat import nc
from bridge.emulated.phone import Phone
from bridge.emulated.program import Io, Program

_CHUNK = 64 * 1024


def absolute(folder: str, path: str) -> str:
    """`path` seen from `folder`."""
    return path if path.startswith("/") else f"{folder.rstrip('/')}/{path}"


def split_flags(argv: list[str]) -> tuple[set[str], list[str]]:
    """Single-letter flags and the operands after them."""
    flags: set[str] = set()
    rest = argv[1:]
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        word = rest.pop(0)
        if word == "--":
            break
        flags |= set(word[1:])
    return flags, rest


def _path(io: Io, path: str) -> str:
    return absolute(io.env.get("PWD", "/"), path)


async def _fail(io: Io, path: str, error: OSError) -> int:
    await io.error(f"{io.argv[0]}: {path}: {error.strerror}\n".encode())
    return 1


async def _line(io: Io, text: str) -> None:
    await io.write(text.encode(errors="surrogateescape") + b"\n")


async def _each(io: Io, paths: list[str], act: Callable[[str], None]) -> int:
    status = 0
    for path in paths:
        try:
            act(_path(io, path))
        except OSError as error:
            status = await _fail(io, path, error)
    return status


async def cat(io: Io, phone: Phone) -> int:
    _, paths = split_flags(io.argv)
    status = 0
    for path in paths or ["-"]:
        if path == "-":
            while data := await io.read(_CHUNK):
                await io.write(data)
            continue
        try:
            await io.write(phone.files.read(_path(io, path)))
        except OSError as error:
            status = await _fail(io, path, error)
    return status


async def ls(io: Io, phone: Phone) -> int:
    flags, paths = split_flags(io.argv)
    status = 0
    for path in paths or ["."]:
        where = _path(io, path)
        try:
            node = phone.files.stat(where)
            if "d" in flags or not stat.S_ISDIR(node.mode):
                entries = [(path, node)]
            else:
                entries = list(phone.files.listdir(where))
        except OSError as error:
            status = await _fail(io, path, error)
            continue
        if len(paths) > 1 and stat.S_ISDIR(node.mode):
            await _line(io, f"{path}:")
        for name, entry in entries:
            if "a" in flags or not name.startswith(".") or name == path:
                await _line(io, _long(name, entry) if "l" in flags else name)
    return status


def _long(name: str, node: Inode) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(node.mtime))
    arrow = f" -> {node.target}" if node.target else ""
    return f"{stat.filemode(node.mode)} 1 shell shell {node.size:>8} {when} {name}{arrow}"


async def rm(io: Io, phone: Phone) -> int:
    flags, paths = split_flags(io.argv)
    recursive, force = bool(flags & {"r", "R"}), "f" in flags

    def remove(path: str) -> None:
        try:
            phone.files.remove(path, recursive=recursive)
        except FileNotFoundError:
            if not force:
                raise

    return await _each(io, paths, remove)


async def mkdir(io: Io, phone: Phone) -> int:
    flags, paths = split_flags(io.argv)
    return await _each(io, paths, lambda path: phone.files.mkdir(path, parents="p" in flags))


async def touch(io: Io, phone: Phone) -> int:
    _, paths = split_flags(io.argv)
    return await _each(io, paths, lambda path: phone.files.write(path, b"", append=True))


async def mv(io: Io, phone: Phone) -> int:
    _, paths = split_flags(io.argv)
    if len(paths) < 2:
        await io.error(b"mv: Need 2 arguments\n")
        return 1
    return await _each(io, paths[:-1], lambda path: phone.files.move(path, _path(io, paths[-1])))


async def cp(io: Io, phone: Phone) -> int:
    _, paths = split_flags(io.argv)
    if len(paths) < 2:
        await io.error(b"cp: Need 2 arguments\n")
        return 1
    target = _path(io, paths[-1])

    def copy(path: str) -> None:
        into = f"{target.rstrip('/')}/{path.rpartition('/')[2]}" if phone.files.is_dir(target) else target
        phone.files.write(into, phone.files.read(path))

    return await _each(io, paths[:-1], copy)


async def chmod(io: Io, phone: Phone) -> int:
    _, words = split_flags(io.argv)
    if len(words) < 2 or not re.fullmatch(r"[0-7]{3,4}", words[0]):
        await io.error(b"chmod: bad mode\n")
        return 1
    return await _each(io, words[1:], lambda path: phone.files.chmod(path, int(words[0], 8)))


def _summer(algorithm: str) -> Program:
    async def program(io: Io, phone: Phone) -> int:
        flags, paths = split_flags(io.argv)
        status = 0
        for path in paths or ["-"]:
            try:
                data = await io.read() if path == "-" else phone.files.read(_path(io, path))
            except OSError as error:
                status = await _fail(io, path, error)
                continue
            digest = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
            await _line(io, digest if "b" in flags else f"{digest}  {path}")
        return status

    return program


async def date(io: Io, phone: Phone) -> int:
    wall = phone.clock.wall_ns()
    template = next((word[1:] for word in io.argv[1:] if word.startswith("+")), "%a %b %e %H:%M:%S UTC %Y")
    seconds, nanos = divmod(wall, 1_000_000_000)
    template = template.replace("%s", str(seconds)).replace("%N", f"{nanos:09d}")
    await _line(io, time.strftime(template, time.gmtime(seconds)))
    return 0


async def sleep(io: Io, phone: Phone) -> int:
    words = io.argv[1:]
    if not words or not all(re.fullmatch(r"\d*\.?\d+s?", word) for word in words):
        await io.error(b"sleep: bad number\n")
        return 1
    await asyncio.sleep(sum(float(word.rstrip("s")) for word in words))
    return 0


async def identity(io: Io, phone: Phone) -> int:
    if "-u" in io.argv:
        await _line(io, "2000")
    else:
        await _line(
            io,
            "uid=2000(shell) gid=2000(shell) groups=2000(shell),1004(input),1007(log),1011(adb),1015(sdcard_rw),"
            "1028(sdcard_r),3001(net_bt_admin),3002(net_bt),3003(inet),3006(net_bw_stats),3009(readproc) "
            "context=u:r:shell:s0",
        )
    return 0


async def whoami(io: Io, phone: Phone) -> int:
    await _line(io, "shell")
    return 0


async def getprop(io: Io, phone: Phone) -> int:
    words = io.argv[1:]
    if words:
        await _line(io, phone.props.get(words[0], words[1] if len(words) > 1 else ""))
        return 0
    for name, value in sorted(phone.props.items()):
        await _line(io, f"[{name}]: [{value}]")
    return 0


async def setprop(io: Io, phone: Phone) -> int:
    if len(io.argv) != 3:
        await io.error(b"setprop: Need 2 arguments\n")
        return 1
    name, value = io.argv[1:]
    if name.startswith("ro.") and name in phone.props:
        await io.error(f"Failed to set property '{name}' to '{value}'.\n".encode())
        return 1
    phone.props[name] = value
    return 0


async def uname(io: Io, phone: Phone) -> int:
    flags, _ = split_flags(io.argv)
    machine = "aarch64" if "arm64" in phone.profile.abi else phone.profile.abi
    facts = {"s": "Linux", "n": "localhost", "r": "5.10.0-emulated", "v": "#1 SMP PREEMPT", "m": machine}
    wanted = facts if "a" in flags else {key: facts[key] for key in facts if key in (flags or {"s"})}
    await _line(io, " ".join(wanted.values()))
    return 0


async def stat_(io: Io, phone: Phone) -> int:
    words = io.argv[1:]
    template = "%n: %s bytes, mode %a"
    if words[:1] == ["-c"] and len(words) > 1:
        template, words = words[1], words[2:]
    status = 0
    for path in words:
        try:
            node = phone.files.stat(_path(io, path))
        except OSError as error:
            await io.error(f"stat: '{path}': {error.strerror}\n".encode())
            status = 1
            continue
        facts = {
            "n": path, "s": str(node.size), "a": f"{stat.S_IMODE(node.mode):o}", "A": stat.filemode(node.mode),
            "Y": str(node.mtime), "f": f"{node.mode:x}", "i": str(node.ino), "u": "2000", "g": "2000", "%": "%",
        }  # fmt: skip
        await _line(io, _fill(template, facts))
    return status


def _fill(template: str, facts: Mapping[str, str]) -> str:
    return re.sub("%(.)", lambda match: facts.get(match[1], match[0]), template)


async def _lines(io: Io, phone: Phone, paths: list[str]) -> tuple[list[bytes], int]:
    """The lines of the files that can be read, of standard input without any, and the status so far."""
    if not paths:
        return _split(await io.read()), 0
    lines: list[bytes] = []
    status = 0
    for path in paths:
        try:
            lines += _split(phone.files.read(_path(io, path)))
        except OSError as error:
            status = await _fail(io, path, error)
    return lines, status


def _split(data: bytes) -> list[bytes]:
    """Lines with their newlines; no other byte ends a line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _count(argv: list[str]) -> tuple[int, list[str]]:
    words = argv[1:]
    if words and words[0] == "-n" and len(words) > 1 and words[1].isdigit():
        return int(words[1]), words[2:]
    if words and re.fullmatch(r"-n?\d+", words[0]):
        return int(words[0].lstrip("-n")), words[1:]
    return 10, words


async def head(io: Io, phone: Phone) -> int:
    count, paths = _count(io.argv)
    if paths:
        lines, status = await _lines(io, phone, paths)
        await io.write(b"".join(lines[:count]))
        return status
    while count > 0 and (line := await io.readline()):
        await io.write(line)
        count -= 1
    return 0


async def tail(io: Io, phone: Phone) -> int:
    count, paths = _count(io.argv)
    lines, status = await _lines(io, phone, paths)
    await io.write(b"".join(lines[max(0, len(lines) - count) :]))
    return status


async def wc(io: Io, phone: Phone) -> int:
    flags, paths = split_flags(io.argv)
    lines, status = await _lines(io, phone, paths)
    data = b"".join(lines)
    counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data)}
    shown = [str(counts[key]) for key in counts if key in (flags or set("lwc"))]
    await _line(io, " ".join([*shown, *paths]))
    return status


async def grep(io: Io, phone: Phone) -> int:
    flags, words = split_flags(io.argv)
    if not words:
        await io.error(b"grep: Needs 1 argument\n")
        return 2
    pattern, *paths = words
    source = re.escape(pattern) if "F" in flags else pattern if "E" in flags else _basic(pattern)
    try:
        wanted = re.compile(source.encode(), re.IGNORECASE if "i" in flags else 0)
    except re.error:
        await io.error(f"grep: bad regex '{pattern}'\n".encode())
        return 2
    found = 0

    async def offer(line: bytes) -> None:
        nonlocal found
        if bool(wanted.search(line.rstrip(b"\n"))) != ("v" in flags):
            found += 1
            if not flags & {"c", "q"}:
                await io.write(line if line.endswith(b"\n") else line + b"\n")

    status = 0
    if paths:
        lines, status = await _lines(io, phone, paths)
        for line in lines:
            await offer(line)
    else:
        while line := await io.readline():
            await offer(line)
    if "c" in flags:
        await _line(io, str(found))
    if status:
        return 2
    return 0 if found else 1


def _basic(pattern: str) -> str:
    """A basic regular expression in Python's notation: the bare and the escaped form of +?|(){} change places."""
    return re.sub(r"\\([+?|(){}])|([+?|(){}])", lambda match: match[1] or "\\" + match[2], pattern)


async def df(io: Io, phone: Phone) -> int:
    used = 112_000_000 if phone.faults.disk_full else 40_000_000
    await _line(io, "Filesystem     1K-blocks     Used Available Use% Mounted on")
    await _line(
        io, f"/dev/block/dm-5 112000000 {used:>8} {112_000_000 - used:>9} {used * 100 // 112_000_000:>3}% /data"
    )
    return 0


async def ps(io: Io, phone: Phone) -> int:
    await _line(io, "USER           PID  PPID     VSZ    RSS WCHAN            ADDR S NAME")
    for process in list(phone.processes.values()):
        await _line(io, f"shell        {process.pid:>5}     1   10000   2000 0                   0 S {process.name}")
    return 0


async def pidof(io: Io, phone: Phone) -> int:
    pids = [str(p.pid) for p in phone.processes.values() if p.name in io.argv[1:]]
    if pids:
        await _line(io, " ".join(pids))
    return 0 if pids else 1


async def kill(io: Io, phone: Phone) -> int:
    status = 0
    for word in [word for word in io.argv[1:] if not word.startswith("-")]:
        process = phone.processes.get(int(word)) if word.isdigit() else None
        if process is None:
            await io.error(f"kill: {word}: No such process\n".encode())
            status = 1
        else:
            phone.end(process)
    return status


async def pkill(io: Io, phone: Phone) -> int:
    try:
        patterns = [re.compile(word) for word in io.argv[1:] if not word.startswith("-")]
    except re.error as error:
        await io.error(f"pkill: bad regex: {error}\n".encode())
        return 1
    whole = "-f" in io.argv
    found = [
        process
        for process in phone.processes.values()
        if process.command != " ".join(io.argv)
        and any(pattern.search(process.command if whole else process.name) for pattern in patterns)
    ]
    for process in found:
        phone.end(process)
    return 0 if found else 1


async def reboot(io: Io, phone: Phone) -> int:
    if phone.cable is not None:
        phone.cable.reboot()
    return 0


async def remount(io: Io, phone: Phone) -> int:
    """What `adb remount` starts."""
    await io.error(b'Not running as root. Try "adb root" first.\n')
    return 1


async def toybox(io: Io, phone: Phone) -> int:
    if len(io.argv) < 2:
        await _line(io, " ".join(sorted(TOOLS)))
        return 0
    tool = TOOLS.get(io.argv[1])
    if tool is None:
        phone.gaps.append(f"command: {' '.join(io.argv)}")
        await io.error(f"toybox: Unknown command {io.argv[1]}\n".encode())
        return 127
    io.argv = io.argv[1:]
    return await tool(io, phone)


_Tool = Callable[[Io, Phone], Awaitable[int]]
TOOLS: Mapping[str, _Tool] = {
    "cat": cat,
    "chmod": chmod,
    "cp": cp,
    "date": date,
    "df": df,
    "egrep": grep,
    "getprop": getprop,
    "grep": grep,
    "head": head,
    "id": identity,
    "kill": kill,
    "ls": ls,
    "md5sum": _summer("md5"),
    "mkdir": mkdir,
    "mv": mv,
    "nc": nc,
    "pidof": pidof,
    "pkill": pkill,
    "ps": ps,
    "reboot": reboot,
    "remount": remount,
    "rm": rm,
    "setprop": setprop,
    "sha1sum": _summer("sha1"),
    "sha256sum": _summer("sha256"),
    "sleep": sleep,
    "stat": stat_,
    "tail": tail,
    "touch": touch,
    "toybox": toybox,
    "uname": uname,
    "wc": wc,
    "whoami": whoami,
}
