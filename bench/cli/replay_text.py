"""What `bench replay` shows and says."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from fewshot_bench.cli.screen import Screen
from fewshot_bench.config import config_file, load
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import cache_folder, checkpoints, database
from fewshot_bench.replay.discordance import EpisodeReplay, Replay
from fewshot_bench.replay.rebuild import data_at_hand, find_stored, open_data, rebuild, wanted_episodes
from fewshot_bench.replay.repeat import replay, retrain
from fewshot_bench.results.reading_back import images_named
from fewshot_bench.results.store import Reader
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.tables.wording import counted, duration

DIFFERENT = 3  # exit code
MOST_EPISODES = 10  # that are named one by one


def replayed(
    cell: str, episode: int | None, data: str | None, selection: Selection, *, again: bool, as_json: bool
) -> tuple[int, str]:
    """Compute a stored cell again; exit code, and what came of it."""
    config = load(config_file(selection.config))
    folder = selection.out or Path(config.run.out)
    stored = find_stored(Reader(database(folder)), cell)
    rebuild(stored)  # what cannot be repeated must not wait for the data
    episodes = wanted_episodes(stored, episode)
    with Screen(-1 if as_json else 0) as screen:
        opened = open_data if data else data_at_hand
        size = config.data.image_size or None
        with images_named(selection, data):
            images = opened(stored, data or config.data.source, cache_folder(), size, screen.preparing)
        took = duration(stored.expected_seconds(len(episodes), again))
        what = "training and " if again else ""
        what += f"{counted(len(episodes), 'episode')}; when it was made, that took {took}"
        screen.line(f"{stored.name} of {stored.facts.of}: {what}")
        if again:
            done = retrain(stored, images, episodes, screen.preparing)
        else:
            done = replay(stored, images, Checkpoints(checkpoints(folder)), episodes, screen.preparing)
    said = json.dumps(_document(done)) if as_json else "\n".join(_lines(done))
    return DIFFERENT if done.verdict == "different" else 0, said


def _document(done: Replay) -> dict[str, Any]:
    derived = {"verdict": done.verdict, "n_queries": done.n_queries, "n_differing": done.n_differing}
    return derived | dataclasses.asdict(done)


def _lines(done: Replay) -> list[str]:
    """What a person reads; the verdict stands last."""
    differing = [episode for episode in done.episodes if episode.differs]
    lines = [("cell", f"{done.name}  {done.key}"), ("weights", _weights(done))]
    lines += [(name, f"{then} -> {now}") for name, then, now in done.circumstances]
    lines += [("episode", _counts(episode)) for episode in differing[:MOST_EPISODES]]
    if len(differing) > MOST_EPISODES:
        lines.append(("", f"and {len(differing) - MOST_EPISODES} more"))
    if differing:
        lines.append(("first", _first(differing[0])))
    beyond = next((episode for episode in differing if not episode.by_rounding), None)
    if beyond and beyond is not differing[0]:
        lines.append(("beyond", _first(beyond)))
    return [f"{name:<9} {text}" for name, text in lines] + [f"{_verdict(done)} ({_compared(done)})"]


def _verdict(done: Replay) -> str:
    of = f"{counted(done.n_differing, 'query', 'queries')} of {done.n_queries}"
    if done.verdict == "identical":
        return "identical" if any(episode.kept for episode in done.episodes) else "equal counts"
    if done.verdict == "same":
        return f"same within {of}, no more than rounding explains"
    if done.broke:
        return f"different: {done.broke}"
    others = sum(episode.id != episode.stored_id for episode in done.episodes)
    if others:
        return f"different: {counted(others, 'episode')} of {len(done.episodes)} with other images than were stored"
    beyond = sum(not episode.by_rounding for episode in done.episodes)
    return f"different: {of}, in {counted(beyond, 'episode')} more than rounding explains"


def _compared(done: Replay) -> str:
    n_counted = sum(not episode.kept for episode in done.episodes)
    kept = f"; only counts were kept of {counted(n_counted, 'episode')}" if n_counted else ""
    return f"{counted(len(done.episodes), 'episode')}, {counted(done.n_queries, 'query', 'queries')}{kept}"


def _weights(done: Replay) -> str:
    if done.weights == done.stored_weights:
        return f"SHA-256 {done.weights}, as stored"
    return f"differ: SHA-256 {done.stored_weights[:12]}... stored, {done.weights[:12] or 'none'}... now"


def _counts(episode: EpisodeReplay) -> str:
    if episode.id != episode.stored_id:
        return f"{episode.number}: other images: its id was {episode.stored_id}, now it is {episode.id}"
    counts = f"{episode.stored_correct} -> {episode.correct} correct of {episode.n_queries}"
    return f"{episode.number}: {counts}" + (f", {counted(episode.n_differing, 'other answer')}" if episode.kept else "")


def _first(episode: EpisodeReplay) -> str:
    """The first difference of an episode, of those that rounding does not explain if there is one."""
    if not episode.discordant:
        return f"episode {episode.number}" + ("" if episode.kept else "; its answers were not kept")
    query = max(episode.discordant, key=lambda query: query.gap > episode.tolerance)
    apart = f"{_share(query.gap)} of the range of logits apart, rounding explains {_share(episode.tolerance)}"
    return (
        f"episode {episode.number}, query {query.query} (class {query.label}): stored answer {query.stored}, "
        f"now {query.now}; {apart}"
    )


def _share(fraction: float) -> str:
    return f"{100 * fraction:.2g} %"
