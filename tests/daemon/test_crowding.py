"""How many connections there may be at once, and who goes when one more comes."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from daemon.crowding import LOOKS, Crowd


class Line:
    """A connection that notes when it is hung up on."""

    def __init__(self) -> None:
        self.is_up = True
        self.is_sending = False

    def hang_up(self) -> None:
        self.is_up = False


def test_whoever_has_been_without_a_request_longest_goes() -> None:
    """One that waits for its answer stays; one that was answered waits again, from then on."""
    crowd, lines = Crowd(3), [Line() for _ in range(6)]
    for line in lines[:3]:
        crowd.enter(line)
    crowd.begin(lines[0])
    crowd.enter(lines[3])
    assert [line.is_up for line in lines[:4]] == [True, False, True, True]
    crowd.rest(lines[0])
    crowd.enter(lines[4])
    assert [line.is_up for line in lines[:5]] == [True, False, False, True, True]
    crowd.leave(lines[3])
    crowd.enter(lines[5])
    assert [line.is_up for line in lines] == [True, False, False, True, True, True]


def test_where_everybody_waits_for_an_answer_the_newcomer_goes() -> None:
    """Nobody who was let in loses an answer; and one that was hung up on does not come back by being answered."""
    crowd, lines = Crowd(2), [Line() for _ in range(4)]
    for line in lines[:2]:
        crowd.enter(line)
        crowd.begin(line)
    crowd.enter(lines[2])
    assert [line.is_up for line in lines[:3]] == [True, True, False]
    crowd.rest(lines[2])
    crowd.rest(lines[1])
    crowd.enter(lines[3])
    assert [line.is_up for line in lines] == [True, False, False, True]


def test_whose_answer_has_not_left_as_a_whole_stays() -> None:
    """A client that reads slowly loses nothing, though it asks nothing just now; when its answer has left it may go like others. Of very many
    such clients only a few are looked at."""
    crowd, lines = Crowd(3), [Line() for _ in range(6)]
    for line in lines[:3]:
        crowd.enter(line)
    lines[0].is_sending = lines[1].is_sending = True
    crowd.enter(lines[3])
    assert [line.is_up for line in lines[:4]] == [True, True, False, True]
    lines[3].is_sending = True
    crowd.enter(lines[4])
    assert [line.is_up for line in lines[:5]] == [True, True, False, True, False]
    lines[1].is_sending = False
    crowd.enter(lines[5])
    assert [line.is_up for line in lines] == [True, False, False, True, False, True]
    many = [Line() for _ in range(LOOKS + 1)]
    crowd = Crowd(len(many))
    for line in many:
        crowd.enter(line)
        line.is_sending = line is not many[-1]
    crowd.enter(first := Line())
    crowd.enter(second := Line())
    assert (first.is_up, second.is_up, [line.is_up for line in many]) == (False, True, [True] * LOOKS + [False])


def test_want_of_files_is_said_once_and_other_trouble_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio tells of each connection that it could not accept, a thousand times a second."""
    crowd, loop = Crowd(2), asyncio.new_event_loop()
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            crowd.listen_on(loop, {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "Too many open files")})
        crowd.listen_on(loop, {"message": "something else", "exception": OSError(errno.EMFILE, "Too many open files")})
    loop.close()
    assert [record.getMessage().split("\n")[0] for record in caplog.records] == ["no connection can be accepted for a second", "something else"]
