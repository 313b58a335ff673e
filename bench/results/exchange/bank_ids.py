"""Which episodes the data have under which number, where their outline is known: what a file may not contradict."""

from collections.abc import Mapping
from typing import Any

from fewshot_bench.data.outline import Outline, without_pixels
from fewshot_bench.errors import BenchError
from fewshot_bench.experiment.episodes import BANK_VERSION, Sampler, Setting, bank, lack

Place = tuple[str, str, Setting, int]  # fingerprint, split, setting, the bank's seed
MOST_PLACES = 10**6  # classes times the images of the largest: what one draw of a stranger's outline may cost


class BankIds:
    """The episode ids of data sets whose outlines are known, each drawn once."""

    def __init__(self, outlines: Mapping[str, Outline]) -> None:
        """outlines: by fingerprint."""
        self._outlines = outlines
        self._samplers: dict[Place, Sampler | None] = {}
        self._ids: dict[tuple[Place, int], str] = {}

    def id_of(self, training: Mapping[str, Any], cell: Mapping[str, Any], number: int) -> str:
        """Of episode `number` of a cell, from the two identities; empty where nothing here can say it."""
        setting, (version, seed) = Setting(**cell["setting"]), cell["bank"]
        place = (cell.get("novel", training["fingerprint"]), cell["split"], setting, seed)
        if version != BANK_VERSION or place[0] not in self._outlines:
            return ""
        if place not in self._samplers:
            self._samplers[place] = self._sampler(*place)
        sampler = self._samplers[place]
        if sampler and (place, number) not in self._ids:
            self._ids[place, number] = sampler.draw(number, setting).id
        return self._ids.get((place, number), "")

    def _sampler(self, fingerprint: str, split: str, setting: Setting, seed: int) -> Sampler | None:
        images = without_pixels(fingerprint, self._outlines[fingerprint])
        try:
            novel = images.split(split).novel
        except BenchError:
            return None
        if lack(images, novel, setting, "novel classes"):
            return None
        most = max(len(images.images_of_class[c]) for c in novel)
        cheap = len(novel) * most <= MOST_PLACES
        return bank(images, split, setting.n_way, setting.n_query, seed) if cheap else None
