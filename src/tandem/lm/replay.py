"""`replay:FILE[#NAME]`: recorded answers and nothing else; what was not recorded is an error that says what is missing.

The file is a store of answers, or a JSONL export of one. Questions are looked up as they were recorded, policies
included: allow the same policies as then. What this does not do: call a model, or answer something similar instead.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tandem.errors import CallFailed, UserError
from tandem.lm import keys
from tandem.lm.excerpt import differing, excerpt, readable
from tandem.lm.policies import Policy, chosen, recorded
from tandem.lm.wire.answers import estimated
from tandem.store import Request, Sample, Store
from tandem.store.recorded import open_recorded
from tandem.types import Abilities, Completion, Count, Prompt, Sampling, Score

MISSING = "not-recorded"
"""Kind of failure of a question that has no recorded answer."""
LOOKED_THROUGH = 20_000
"""Records that are looked through for the nearest one when an answer is missing."""
EXPLAINED = 3
"""Missing answers whose nearest recorded one is looked for; it may take a while."""

_EVERYTHING = 1 << 40
_COMPARED = 400
_ALIKE = 0.5


class Replay:
    """A back end that answers from a record.

    It can give the log-probabilities that are recorded, so that whoever asks by what a model can do asks as before.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        where: str = "",
        allow: Iterable[str] = (),
        folder: TemporaryDirectory[str] | None = None,
    ) -> None:
        """Answer from what `store` holds of the model `name`; `allow` are the policies it was asked under.

        `where` names the record in messages; `folder` goes with the store when it is closed.
        """
        self.name = name
        self.store = store
        scoring, logprobs, alternatives = store.holds(name)
        self.abilities = Abilities(
            context=_EVERYTHING,
            chat=True,
            prefill=True,
            many=True,
            temperature=True,
            seed=True,
            logprobs=logprobs,
            alternatives=alternatives,
            scoring=scoring,
            presence_penalty=True,
            ignore_end=True,
        )
        self._where = f"{where or store.path}, {name}"
        self._folder = folder
        self._policies = sorted(chosen(allow))
        self._explained = 0

    @classmethod
    def read(cls, file: str, *, allow: Iterable[str] = ()) -> Replay:
        """The record at `FILE` or `FILE#NAME`; the name may be left out where the file holds one model only.

        Raises UserError: no such file, no record, no such model in it, or several and none named.
        """
        path, _, name = (
            (file, "", "") if Path(file).exists() else file.rpartition("#") if "#" in file else (file, "", "")
        )
        if not Path(path).is_file():
            raise UserError("no such file", where=path, remedy="name a store of answers, or a JSONL export of one")
        store, folder = open_recorded(Path(path), keys.checked)
        try:
            return cls(store, _model(store, name, path), where=path, allow=allow, folder=folder)
        except BaseException:
            store.close()
            if folder is not None:
                folder.cleanup()
            raise

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """The recorded samples. Raises CallFailed where one is missing, or was recorded as a failure."""
        wanted = {keys.index(sampling, index) for index in samples}
        found: dict[int, Completion | CallFailed] = {}
        for request, keyed in self._requests(prompt, sampling):
            lacking = wanted - found.keys()
            if not lacking:
                break
            found |= self.store.find(request, lacking, max_tokens=keyed.max_tokens, logprobs=keyed.logprobs)
        if missing := sorted(wanted - found.keys()):
            raise self._missing(prompt, sampling, missing)
        outcomes = [found[keys.index(sampling, index)] for index in samples]
        for outcome in outcomes:
            if isinstance(outcome, CallFailed):
                raise outcome
        return tuple(outcome for outcome in outcomes if isinstance(outcome, Completion))

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """The recorded scores. Raises CallFailed where one is missing."""
        found = self.store.find_scores(keys.score_request(self.name, context, cut_left=cut_left), continuations)
        for continuation in continuations:
            if continuation not in found:
                raise CallFailed(
                    f"no score of {continuation!r} is recorded after “{excerpt(context)}”"
                    + (", cut on the left" if cut_left else ""),
                    kind=MISSING,
                    where=self._where,
                    remedy=f"recorded after this context: {', '.join(map(repr, found))}" if found else None,
                )
        return tuple(found[continuation] for continuation in continuations)

    def count(self, prompt: Prompt) -> Count:
        """About how many tokens a prompt has: the tokenizer is not recorded."""
        return Count(estimated(readable(prompt)), exact=False)

    async def close(self) -> None:
        """Close the record."""
        self.store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _requests(self, prompt: Prompt, sampling: Sampling) -> Iterator[tuple[Request, Sampling]]:
        """The question as it may have been recorded: as it is, and under each selection of the policies."""
        for number in range(len(self._policies) + 1):
            for policies in itertools.combinations(self._policies, number):
                keyed = _under(sampling, policies)
                yield keys.request(self.name, prompt, keyed, [recorded(one, sampling) for one in policies]), keyed

    def _missing(self, prompt: Prompt, sampling: Sampling, indices: Sequence[int]) -> CallFailed:
        which = ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
        return CallFailed(
            f"sample {which} of “{excerpt(prompt)}” is not recorded with {differing(sampling)}",
            kind=MISSING,
            where=self._where,
            remedy=self._nearest(prompt, sampling),
        )

    def _nearest(self, prompt: Prompt, sampling: Sampling) -> str | None:
        """What is recorded that comes nearest, in words."""
        self._explained += 1
        if self._explained > EXPLAINED:
            return None
        wanted = keys.request(self.name, prompt, sampling)
        end = readable(prompt)[-_COMPARED:]
        nearest, likeness = "", _ALIKE
        other_ways: set[str] = set()
        same: list[Sample] = []
        for record in itertools.islice(self.store.records(self.name, only="answers"), LOOKED_THROUGH):
            assert isinstance(record, Sample)
            body = json.loads(record.request.body)
            recorded = keys.read_prompt(body.pop("prompt"))
            if record.request == wanted:
                same.append(record)
            elif recorded == prompt:
                other_ways.add(json.dumps(body) if body else "defaults")
            elif not same and not other_ways:
                matcher = difflib.SequenceMatcher(None, end, readable(recorded)[-_COMPARED:])
                if matcher.real_quick_ratio() > likeness and matcher.ratio() > likeness:
                    nearest, likeness = excerpt(recorded), matcher.ratio()
        if same:
            return f"recorded of this question: {', '.join(sorted(map(_told, same))[:8])}"
        if other_ways:
            return f"this prompt is recorded with: {'; '.join(sorted(other_ways)[:4])}"
        return f"the nearest recorded prompt: “{nearest}”" if nearest else None


def _told(sample: Sample) -> str:
    return f"sample {sample.index} ({sample.finish}, max_tokens {sample.max_tokens}" + (
        ", with log-probabilities)" if sample.logprobs else ")"
    )


def _under(sampling: Sampling, policies: Sequence[Policy]) -> Sampling:
    """A sampling as it is recorded under these policies."""
    if "own-temperature" in policies:
        sampling = replace(sampling, temperature=None, top_p=1.0)
    if "without-presence-penalty" in policies:
        sampling = replace(sampling, presence_penalty=0.0)
    if "without-logprobs" in policies:
        sampling = replace(sampling, logprobs=False, alternatives=0)
    return sampling


def _model(store: Store, name: str, path: str) -> str:
    """The model to answer for."""
    names = store.names()
    if name in names:
        return name
    if not names:
        raise UserError("holds no recorded answers", where=path, remedy="record some: give a store when asking a model")
    if name:
        near = difflib.get_close_matches(name, names, n=1)
        listed = f"did you mean {near[0]}?" if near else f"it holds: {', '.join(names)}"
        raise UserError(f"holds no answers of a model {name!r}", where=path, remedy=listed)
    if len(names) > 1:
        raise UserError(
            f"holds the answers of {len(names)} models",
            where=path,
            remedy=f"name one: replay:{path}#NAME, of {', '.join(names)}",
        )
    return names[0]
