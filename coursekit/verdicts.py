"""What became of each exercise: checks write it down here, `progress` reads it."""

import json
import sys

from coursekit.errors import writing
from coursekit.places import build_folder

FILE = "progress.json"
OPEN, WRONG, RIGHT = "○", "✗", "✓"
# Every notebook with its exercises, in the order in which a reader meets them
COURSE = {
    "00_start_here": "count_words",
    "01_recurrent_language_models": "bigram_probabilities masked_loss last_states",
    "02_image_encoders": "receptive_field max_pool nearest freeze",
    "03_show_and_tell": "picture_first shift say precision_by_kind",
    "a1_show_and_tell": "vocabulary padding lstm_step masked_loss captioner overfit train_captioner greedy",
    "04_decoding_and_scoring": "expand nucleus clipped paired_bootstrap",
    "05_attention": "weigh pointing credit split",
    "a2_decoding_and_scoring": "beam_search rank nucleus clipped_counts brevity_penalty corpus_bleu cider attend is_causal describe",
    "06_gpt2_from_scratch": "merge hide_future attend step",
    "07_prefix_captioner": "join labels several freeze",
    "08_vit_gpt2": "cross_attend rate mirror part_loss",
    "a3_prefix_captioner": "merge causal_mask attention language mapper join make_labels frozen_captioner train_captioner",
    "09_pixels_as_tokens": "encode best_runs palette_bits neighbours",
    "10_image_gpt": "shift picture_bits pick masked_loss",
    "11_completing_images": "go_on steer ways weigh",
    "12_learned_representations": "standardise joint_loss by_class classifier_score",
    "a4_image_gpt": "palette pixel_model bits_per_pixel bert sampling complete features scores train_model probe",
}
COURSE = {name: exercises.split() for name, exercises in COURSE.items()}


def kept():
    """The verdicts so far, {"01/masked_loss": "✓"}; what was right once stays right. Nothing where none can be read."""
    try:
        found = json.loads(build_folder(FILE).read_text(encoding="utf-8"))
        return {str(key): mark for key, mark in found.items() if mark in (OPEN, WRONG, RIGHT)}
    except (OSError, ValueError, AttributeError):
        return {}


def keep(check, exercise, mark):
    """Writes down a verdict of a check function, in a notebook only. Where nothing can be written it is not kept."""
    if "ipykernel" not in sys.modules or not (key := key_of(check.__module__, exercise)):
        return
    found = kept()
    if mark in (found.get(key), OPEN) or found.get(key) == RIGHT:
        return
    try:
        with writing(build_folder(FILE)) as part:
            part.write_text(json.dumps(found | {key: mark}, indent=1), encoding="utf-8")
    except Exception:
        # Progress is a comfort: a check must not fail for it
        return


def key_of(module, exercise):
    """ "01/masked_loss" for an exercise of `coursekit.checks.lesson_01` or "a3/merge" of `….a3_merge`; None for others."""
    number = module.rpartition(".")[2].removeprefix("lesson_").partition("_")[0]
    name = next((name for name in COURSE if name.partition("_")[0] == number), None)
    return f"{number}/{exercise}" if name and exercise in COURSE[name] else None
