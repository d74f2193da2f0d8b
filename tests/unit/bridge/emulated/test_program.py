"""What a program may rely on: the shell's streams do all that `Io` asks for, and every program takes them."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from fakes.adb_host import bare_phone, run
from fakes.programs import ran, running

from bridge.emulated.phone import Phone, PipeWriter
from bridge.emulated.program import Io, Writer
from bridge.emulated.programs import PROGRAMS
from bridge.emulated.shell import ProcessIo


async def parrot(io: Io, phone: Phone) -> int:
    """Says what it was given, line by line."""
    await io.write(f"{' '.join(io.argv)} on {phone.name}\n".encode())
    while line := await io.readline():
        await io.write(line)
    await io.error(b"no more\n")
    return 3


async def patient(io: Io, phone: Phone) -> int:
    await io.write(b"here")
    try:
        await io.hangup.wait()
    finally:
        await io.write(b"bye")
    return 0


def members(protocol: type) -> set[str]:
    return {name for name in {*vars(protocol), *protocol.__annotations__} if not name.startswith("_")}


@pytest.mark.parametrize(("protocol", "real"), [(Io, ProcessIo), (Writer, PipeWriter), (Writer, asyncio.StreamWriter)])
def test_the_real_thing_has_all_that_the_protocol_names(protocol: type, real: type) -> None:
    wanted = members(protocol)
    assert len(wanted) >= 4
    assert wanted <= {*dir(real), *getattr(real, "__slots__", ())}


def test_a_program_reads_writes_and_ends() -> None:
    async def work() -> None:
        phone = bare_phone()
        assert await ran(parrot, phone, "parrot a b", b"one\ntwo") == (
            "parrot a b on EMU00001\none\ntwo",
            "no more\n",
            3,
        )

    run(work())


def test_a_hang_up_can_be_waited_for() -> None:
    async def work() -> None:
        async with running(patient, bare_phone(), "patient") as started:
            assert await started.saw(4) == b"here"
            started.hangup.set()
            assert await started.task == 0
            assert started.take() == b"bye"

    run(work())


def test_every_program_is_one() -> None:
    assert PROGRAMS
    for name, program in PROGRAMS.items():
        assert inspect.iscoroutinefunction(program), name
        assert list(inspect.signature(program).parameters) == ["io", "phone"], name
        assert program.__doc__, name
