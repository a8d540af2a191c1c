"""Makes the ViT that comes with the course: trains it to name the facts of drawn scenes, halves its precision.

    python data_scripts/ship_vit.py    about 25 minutes of one core; a run that was broken off goes on

Every epoch sees scenes that no other has seen. Writes coursekit/weights/scene_vit, a folder as `save_pretrained` writes
it, and in it what reads facts off the ViT (head.safetensors) and the scores (scores.json), which a test holds it to.
There stands too what a linear layer finds in its embeddings and in those of the course's small CNN.
"""

import argparse
import json

import torch
from safetensors.torch import save
from torch.nn import functional as F

from coursekit import sizes
from coursekit.datasets.scenes import ALL_FACTS, Scenes, fact_table
from coursekit.errors import writing
from coursekit.models.encoders import SceneClassifier, scene_encoder
from coursekit.models.vit import SCENE_VIT, scene_vit, scene_vit_classifier, small_vit
from coursekit.training import TrainSettings, train

PICTURES = 16000  # of an epoch
SETTINGS = TrainSettings(epochs=13, batch_size=32, learning_rate=1e-3, warmup=0.1)
OTHERS = 100  # seeds from here on: the captions of lessons are about the scenes of seed 0


def learn(out):
    """The trained SceneClassifier on a ViT, and the History."""
    torch.manual_seed(SETTINGS.seed)
    classifier = SceneClassifier(small_vit(), len(ALL_FACTS))
    dev = Scenes("dev")
    exam, wanted = dev.images(range(len(dev))), fact_table(dev)
    at_hand = {}

    def scenes_of(epoch):
        if epoch not in at_hand:
            at_hand.clear()
            scenes = Scenes("train", PICTURES, seed=OTHERS + epoch)
            at_hand[epoch] = scenes, fact_table(scenes)
        return at_hand[epoch]

    def batches(epoch):
        return [(epoch, part) for part in torch.arange(PICTURES).split(SETTINGS.batch_size)]

    def loss(model, batch):
        scenes, answers = scenes_of(batch[0])
        return nats(model(scenes.images(batch[1])), answers[batch[1]])

    def validate(model):
        return nats(named(model, exam), wanted)

    def sample(model):
        return f"F1 on dev {fact_f1(named(model, exam), wanted)['all']:.3f}"

    history = train(classifier, loss, batches, SETTINGS, validate, sample, out)
    return classifier, history


def nats(logits, answers):
    """Cross-entropy of all yes-or-no questions, in nats a picture."""
    return F.binary_cross_entropy_with_logits(logits, answers, reduction="sum") / len(answers)


def fact_f1(logits, answers):
    """F1 of the facts that logits (B, F) claim: of all together, and of each kind."""
    found = {}
    for kind in ("all", *dict.fromkeys(fact[0] for fact in ALL_FACTS)):
        own = [i for i, fact in enumerate(ALL_FACTS) if kind in ("all", fact[0])]
        said, true = logits[:, own] > 0, answers[:, own] > 0
        found[kind] = round((2 * (said & true).sum() / (said.sum() + true.sum())).item(), 4)
    return found


@torch.no_grad()
def named(model, images):
    return torch.cat([model(part) for part in images.split(100)])


def probed(encoder, splits):
    """F1 of one linear layer that learned on 6,000 scenes to read the facts off an encoder's largest values."""
    pooled = {s.split: named(lambda each: encoder(each).amax(1), s.images(range(len(s)))) for s in splits}  # fmt: skip
    mean, std = pooled["train"].mean(0), pooled["train"].std(0) + 1e-6
    torch.manual_seed(0)
    layer = torch.nn.Linear(len(mean), len(ALL_FACTS))
    optimizer = torch.optim.AdamW(layer.parameters(), 1e-2)
    answers = fact_table(splits[0])
    for _ in range(20):
        for part in torch.randperm(len(answers)).split(64):
            optimizer.zero_grad()
            nats(layer((pooled["train"][part] - mean) / std), answers[part]).backward()
            optimizer.step()
    with torch.no_grad():
        return {
            s.split: fact_f1(layer((pooled[s.split] - mean) / std), fact_table(s))
            for s in splits[1:]
        }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.parse_args()
    classifier, history = learn(sizes.build_folder("ship_vit"))
    classifier.encoder.vit.half()
    classifier.encoder.save(SCENE_VIT)
    head = {name: each.half().contiguous() for name, each in classifier.head.state_dict().items()}
    with writing(SCENE_VIT / "head.safetensors") as path:
        path.write_bytes(save(head))
    splits = [Scenes("train"), Scenes("test"), Scenes("unseen")]
    shipped = scene_vit_classifier()
    scores = {
        "command": "python data_scripts/ship_vit.py",
        "pictures": PICTURES * len(history.train_loss),
        "f1": {s.split: fact_f1(named(shipped, s.images(range(len(s)))), fact_table(s)) for s in splits[1:]},
        "linear layer on scene_vit": probed(scene_vit(), splits),
        "linear layer on scene_encoder": probed(scene_encoder(), splits),
    }  # fmt: skip
    with writing(SCENE_VIT / "scores.json") as path:
        path.write_text(json.dumps(scores, indent=2) + "\n")
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
