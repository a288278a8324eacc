"""Write the tables of docs/networks.md from the table of networks and the records: `python -m docs.write_networks`.

The records are bench/results/scores.json (the default network), scores_NAME.json (every other network: what
`python -m bench.quality.scores --data DATA --model NAME` writes) and tile.json.
`python -m docs.write_networks --pictures` also makes the pictures in docs/kinds/ again: simulated images that no
training used, beside the outlines that the default network finds, with estimated diameters.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flowmask.api import segment
from flowmask.images.image import as_image
from flowmask.network.registry import ShippedNetwork, shipped_networks
from flowmask.outputs.overlay import OUTLINE, display_ranges, displayed, outline_pixels
from train.simulate import simulate

DOCS = Path(__file__).parent
PAGE = DOCS / "networks.md"
PICTURES = DOCS / "kinds"
RECORDS = DOCS.parent / "bench" / "results"
MARKED = re.compile(r"(<!-- networks: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
SEED, SIDE, DIAMETER = 1_000_000, 180, 30
"""Of the pictures: the first seed that no training used; side and cell diameter in px."""
QUALITY = 80
SCORES = {"f1_estimated": "estimated diameter", "f1_true": "true diameter"}
BETTER = 0.02
"""A network other than the default one is named for a kind of image if its F1 is higher by more than this."""


@dataclass(frozen=True)
class Kind:
    """A kind of image."""

    title: str
    modality: str
    """Of the simulator."""
    source: str | None = None
    """Held-out real images of this kind."""


KINDS = (
    Kind("nuclei, fluorescence", "fluorescence_nuclei", "bbbc039_fluo_nuclei_u2os"),
    Kind("whole cells, fluorescence", "fluorescence_wholecell"),
    Kind("dense tissue, fluorescence", "dense_tissue"),
    Kind("rounded cells, phase contrast", "phase"),
    Kind("spindly cells, phase contrast", "slender_phase", "usiigaci_phase_T98G"),
    Kind("spread cells, DIC", "spread_dic"),
    Kind("spread cells, bright field", "spread_brightfield"),
    Kind("yeast", "yeast", "yeastvision_phase_yeast_pos13"),
    Kind("bacteria", "rods"),
    Kind("mother machine", "mother_machine", "baby_motherm_bacteria"),
    Kind("white blood cells, smear", "blood_smear"),
    Kind("tissue section, stained", "tissue_section"),
    Kind("immunohistochemistry", "immunohistochemistry"),
    Kind("algae", "algae"),
    Kind("branched cells, fluorescence", "branched_fluorescence"),
    Kind("branched cells, stained", "branched_stained"),
    Kind("smear of single cells, stained", "cytology_smear"),
    Kind("organoids, fluorescence", "organoid"),
)


def record(network: ShippedNetwork) -> dict[str, Any] | None:
    """Return the record of the scores of a network; None if there is none of this very file."""
    path = RECORDS / ("scores.json" if network.default else f"scores_{network.name}.json")
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return found if found and network.sha256[:12] in found["model"] else None


def shipped() -> str:
    """Return the table of the networks that ship: purpose, size, time a tile relative to the default, mean F1."""
    tile = json.loads((RECORDS / "tile.json").read_text(encoding="utf-8"))
    times = {row["network"].split()[0]: row["ms"] for row in tile["networks"]}
    first = next(times[network.file] for network in shipped_networks() if network.default)
    rows = []
    for network in shipped_networks():
        name = f"`{network.name}`{', the default' if network.default else ''}"
        time = f"{times[network.file] / first:.1f}" if network.file in times else "not measured"
        rows.append([name, network.about, f"{network.path.stat().st_size / 1e6:.0f} MB", time, f"{network.f1:.3f}"])
    return _table(["network", "use it for", "file", "time", "F1"], rows)


def kinds() -> str:
    """Return the table by kind of image: picture, F1 on simulated and on real images, and which network to use."""
    rows = []
    for kind in KINDS:
        real = [(f1(network, "images", kind.source), network) for network in shipped_networks()] if kind.source else []
        figures = ", ".join(f"`{network.name}` {value:.3f}" for value, network in real if value is not None)
        simulated = f1(_default(), "simulated images", f"simulated {kind.modality}")
        picture = f"![{kind.title}](kinds/{kind.modality}.jpg)"
        rows.append([kind.title, picture, f"`{_best(real).name}`", figures or "none", _figure(simulated)])
    return _table(["kind of image", "simulated image, outlines found", "network", "real images", "simulated"], rows)


def scores() -> str:
    """Return the table of F1 on held-out images: sources, their means, and the mean of the simulated images."""
    networks = [network for network in shipped_networks() if record(network)]
    counts = {source: len(found) for source, found in _scored("images").items()}
    titles = {kind.source: kind.title for kind in KINDS}
    rows = [(f"{titles.get(source, '')} ({source})", (source,), "images") for source in counts]
    rows.append(("**mean over the sources**", tuple(counts), "images"))
    rows.append(("mean over sources of several images", tuple(s for s, count in counts.items() if count > 1), "images"))
    rows.append(("simulated, new seeds", tuple(_scored("simulated images")), "simulated images"))
    lines = []
    for title, sources, group in rows:
        count = images(_default(), group, sources)
        figures = []
        for network in networks:
            own = images(network, group, sources)
            suffix = "" if own in (0, count) else f" ({own} images)"
            figures += [_figure(mean_f1(network, group, sources, score)) + suffix for score in SCORES]
        lines.append([title, str(count), *figures])
    head = [f"`{network.name}`, {diameter}" for network in networks for diameter in SCORES.values()]
    return _table(["source", "images", *head], lines)


TABLES = {"shipped": shipped, "kinds": kinds, "scores": scores}


def f1(network: ShippedNetwork, group: str, source: str, score: str = "f1_estimated") -> float | None:
    """Return the mean score of the images of a source; None if it was not measured."""
    found = (record(network) or {}).get(group)
    return None if found is None else float(found["sources"][source]["mean"][score])


def images(network: ShippedNetwork, group: str, sources: Sequence[str]) -> int:
    """Return on how many images of the sources a network was scored."""
    scored = (record(network) or {}).get(group, {}).get("images", {})
    return sum(len(scored.get(source, ())) for source in sources)


def mean_f1(network: ShippedNetwork, group: str, sources: Sequence[str], score: str) -> float | None:
    """Return the mean over sources of their mean scores; None if one was not measured."""
    figures = [value for source in sources if (value := f1(network, group, source, score)) is not None]
    return float(np.mean(figures)) if figures and len(figures) == len(sources) else None


def page(text: str) -> str:
    """Return the text of a page with the tables between its marks written anew."""
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def write_pictures() -> None:
    """Write a simulated image beside its outlines for every kind."""
    PICTURES.mkdir(exist_ok=True)
    for kind in KINDS:
        image = as_image(simulate(kind.modality, (SIDE, SIDE), SEED, DIAMETER).image)
        shown = displayed(image.read(0, 0, SIDE, SIDE), display_ranges(image))
        outlined = shown.copy()
        outlined[outline_pixels(segment(image).labels)] = OUTLINE
        pair = np.hstack([shown, outlined])[..., ::-1]
        cv2.imwrite(str(PICTURES / f"{kind.modality}.jpg"), pair, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def _default() -> ShippedNetwork:
    return next(network for network in shipped_networks() if network.default)


def _scored(group: str) -> dict[str, Any]:
    """Return the images of each source on which the default network was scored; empty if it was not."""
    images: dict[str, Any] = (record(_default()) or {}).get(group, {}).get("images", {})
    return images


def _best(real: list[tuple[float | None, ShippedNetwork]]) -> ShippedNetwork:
    """Return the network with the best F1 if it is clearly better than the default one, otherwise the default one."""
    default = _default()
    own = next((value for value, network in real if network is default), None)
    value, network = max(real, key=lambda pair: pair[0] or 0.0, default=(None, default))
    return network if own is not None and value is not None and value > own + BETTER else default


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", action="store_true", help="make the pictures again too")
    if parser.parse_args().pictures:
        write_pictures()
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
