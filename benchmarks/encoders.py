"""What each encoder costs: parameters, download, shape of its memory, time and peak memory.

    python benchmarks/encoders.py [--names mobilenet_v2 resnet50] [--image-size 224] [--batch 16] [--repeats 5]

Prints the table of docs/encoders.md; as it compares nothing, `make bench` leaves it out. Weights are random, so
nothing is fetched: size and accuracy of the download are what torchvision says of its default weights. Each encoder has
a process of its own with one thread; times are CPU time, median of the repeats, and so the same on a busy machine, nearly.
The detector takes pictures of 480 pixels, 4 at a time.
"""

import argparse
import json
import statistics
import subprocess
import sys

import harness
import torch

from coursekit.errors import CourseError

NAMES = (
    "small_cnn",
    "mobilenet_v2",
    "efficientnet_b0",
    "densenet121",
    "resnet18",
    "resnet50",
    "resnet101",
    "vgg16",
    "vit_b_16",
    "fasterrcnn_resnet50_fpn",
)
DETECTOR_SIZE, DETECTOR_BATCH = 480, 4  # what fits a laptop
HEAD = (
    "| encoder | parameters | download | accuracy | pixels | pooled | grid | layers | ms | memory |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def measure(name, image_size, batch, repeats):
    """All that the table says of one encoder, measured in this process."""
    torch.manual_seed(0)
    try:
        encoder, known = look(name, image_size)
    except CourseError as error:
        return {"name": name, "error": str(error)}
    batch = DETECTOR_BATCH if "objects" in known else batch
    side = encoder.image_size
    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)
    encoder.eval()
    look_once = torch.no_grad()(lambda: encoder(images).shape)
    seconds, _ = harness.measure({"": look_once}, repeats)[""]
    ms = 1000 * statistics.median(seconds) / batch
    return known | {"ms": ms, "memory": 1000 * harness.peak_memory()}


def look(name, image_size=224):
    """The encoder, and what the table says of it that no clock is needed for."""
    from coursekit.models.sources import Objects, make_encoder

    detector = name == "fasterrcnn_resnet50_fpn"
    settings = dict(image_size=image_size, embeddings="grid")
    encoder = Objects(None, DETECTOR_SIZE) if detector else make_encoder(name, None, **settings)
    known = {
        "name": name,
        "parameters": sum(each.numel() for each in encoder.parameters()),
        "pixels": encoder.image_size,
    }
    return encoder, known | shapes(encoder, detector) | published(name)


def shapes(encoder, detector):
    """(N, D) of each kind of embedding that the encoder gives."""
    from coursekit.models.sources import Layers

    if detector:
        return {"objects": [encoder.regions, encoder.dim]}
    one = torch.zeros(1, 3, encoder.image_size, encoder.image_size, dtype=torch.uint8)
    found = {"pooled": [1, encoder.dim]}
    for kind, each in {"grid": encoder, "layers": Layers(encoder)}.items():
        found[kind] = [each.boxes(one).shape[1], each.dim]
    return found


def published(name):
    """Megabytes and accuracy of torchvision's default weights, as their `meta` says."""
    if name == "small_cnn":
        return {"download": None, "right": None}
    from coursekit.models.networks import weights_of

    meta = weights_of(name).meta
    found = next(iter(meta["_metrics"].values()))
    right = f"{found['acc@1']:.1f} %" if "acc@1" in found else f"box AP {found['box_map']:.1f}"
    return {"download": meta["_file_size"], "right": right}


def row(found):
    """One line of the table."""
    if "error" in found:
        return f"{found['name']}: {found['error']}"
    shape = {
        kind: "{} × {:,}".format(*found[kind]) if kind in found else "–"
        for kind in ("pooled", "grid", "layers")
    }
    if "objects" in found:
        shape["grid"] = "objects: {} × {:,}".format(*found["objects"])
    download = f"{found['download']:.0f} MB" if found["download"] else "comes along"
    cells = (
        f"`{found['name']}`",
        f"{found['parameters']:,}",
        download,
        found["right"] or "–",
        found["pixels"],
        *shape.values(),
        f"{found['ms']:.1f}" if found["ms"] < 10 else f"{found['ms']:,.0f}",
        f"{found['memory']:,.0f} MB",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def main():
    """Prints the table, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = options.image_size, options.batch, options.repeats
    if options.one:
        torch.set_num_threads(1)
        print(json.dumps(measure(options.one, *settings)))
        return
    print(*HEAD, sep="\n")
    for name in options.names:
        print(row(in_own_process(name, *settings)), flush=True)


def in_own_process(name, image_size, batch, repeats):
    """`measure` where no other encoder has left memory behind."""
    numbers = dict(image_size=image_size, batch=batch, repeats=repeats)
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in numbers.items()]
    command = [sys.executable, __file__, "--one", name, *flags]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        sys.exit(told.stderr)
    return json.loads(told.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
