"""Requests of many callers on one engine's thread."""

import asyncio

import pytest

from tandem.decoder import Decoder, Shape
from tandem.decoder.engine import Engine
from tandem.decoder.jobs import Writing
from tandem.errors import UserError
from tandem.lm.serving import Serving

SHAPE = Shape(vocabulary=31, layers=1, width=16, heads=2, kv_heads=1, head_width=8, mlp_width=24, context=64)


def test_a_request_with_one_sample_twice_is_refused_and_the_next_is_served():
    async def work():
        serving = Serving(Engine(Decoder(SHAPE, seed=1).eval()))
        try:
            with pytest.raises(UserError, match="sample 0 is asked for twice"):
                await asyncio.wait_for(serving.write(Writing([1, 2], 3, print, samples=(0, 0))), 60)
            return await asyncio.wait_for(serving.write(Writing([1, 2], 3, print, samples=(1, 0))), 60)
        finally:
            await serving.close()

    assert [written.sample for written in asyncio.run(work())] == [1, 0]
