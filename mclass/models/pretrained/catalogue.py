"""What is published: which architecture, trained on which data, in which file.

Taught in: 04_supervised.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mclass import vocabulary

# Won, Ferraro, Bogdanov & Serra (2020). One commit, so that a file can never change under the same address.
REPOSITORY = "minzwon/sota-music-tagging-models"
COMMIT = "36aa13b7205ff156cf4dcab60fd69957da453151"

DATASETS = {"mtat": vocabulary.MAGNATAGATUNE, "msd": vocabulary.MSD, "jamendo": vocabulary.JAMENDO}

# Our name -> the folder's.
FOLDERS = {
    "fcn": "fcn",
    "musicnn": "musicnn",
    "crnn": "crnn",
    "sample_cnn": "sample",
    "sample_cnn_se": "se",
    "self_attention": "attention",
    "harmonic_cnn": "hcnn",
    "short_chunk_cnn": "short",
    "short_chunk_cnn_res": "short_res",
}

# The authors say that this one was never uploaded (issue 10 of their repository).
ABSENT = {"mtat/short_chunk_cnn_res"}

SHA256 = {
    "mtat/fcn": "e89d751202d38c3ae69855782bc27010f87051958dbec64f5aa762364dbac271",
    "mtat/musicnn": "690ace3bb5d49d90dd38fe3ec05a1185350b3bc3742bd7ee941f56b649b2c893",
    "mtat/crnn": "cd22fc70cafd06f8f2bfc7dd795abccb1f4b50d5b09094c39ad100baf87475a3",
    "jamendo/fcn": "7bce08a66dbc70d096b0a330f44b4cacd9aa25519b83489fbb98f2164a194e2b",
    "jamendo/musicnn": "66280f4859376377c47f64313c7ac889a3201fdb06a01bf6e94ac6e619081bb5",
    "jamendo/crnn": "0a558989c0793f488cb677d188464c91f47c007f7c70473230e55537ca598215",
    "msd/fcn": "6012aa7eecf864a8081faedca56af054521e8dfb9c5c98659a3dd5d3e1e66f21",
    "msd/crnn": "ebb99855ed0c83f38845db9cfb383dd6fc70938bc58701dcb66e18af9ee7fbea",
}


# Test scores, ROC-AUC and PR-AUC, of the paper's Table 2; of the variants with 96 mel bands, which were published.
SCORES = {
    "mtat": {
        "fcn": (0.9005, 0.4295), "musicnn": (0.9106, 0.4493), "sample_cnn": (0.9058, 0.4422),
        "sample_cnn_se": (0.9103, 0.4520), "crnn": (0.8722, 0.3625), "self_attention": (0.9077, 0.4445),
        "harmonic_cnn": (0.9127, 0.4611), "short_chunk_cnn": (0.9126, 0.4590),
    },
    "msd": {
        "fcn": (0.8744, 0.2970), "musicnn": (0.8803, 0.2983), "sample_cnn": (0.8789, 0.2959),
        "sample_cnn_se": (0.8838, 0.3109), "crnn": (0.8499, 0.2469), "self_attention": (0.8810, 0.3103),
        "harmonic_cnn": (0.8898, 0.3298), "short_chunk_cnn": (0.8883, 0.3251),
        "short_chunk_cnn_res": (0.8898, 0.3280),
    },
    "jamendo": {
        "fcn": (0.8255, 0.2801), "musicnn": (0.8226, 0.2713), "sample_cnn": (0.8208, 0.2742),
        "sample_cnn_se": (0.8233, 0.2784), "crnn": (0.7978, 0.2358), "self_attention": (0.8261, 0.2883),
        "harmonic_cnn": (0.8322, 0.2956), "short_chunk_cnn": (0.8324, 0.2976),
        "short_chunk_cnn_res": (0.8316, 0.2951),
    },
}  # fmt: skip
DATA = {"mtat": "MagnaTagATune", "msd": "Million Song Dataset", "jamendo": "MTG-Jamendo"}


@dataclass(frozen=True)
class Checkpoint:
    """One published file.

    Attributes
    ----------
    name : str
        Data set and architecture: ``"mtat/musicnn"``.
    architecture : str
        A name of `mclass.models.list`.
    path : str
        Of the file in its repository.
    sha256 : str or None
        None where it is not known: the first download is trusted then.
    tags : tuple of str
        Names of the outputs, in order.
    trained_on : str
    roc_auc, pr_auc : float
        On the test part of these data, as published.
    license : str
    """

    name: str
    architecture: str
    path: str
    sha256: str | None
    tags: tuple[str, ...] = field(repr=False)
    trained_on: str = ""
    roc_auc: float = float("nan")
    pr_auc: float = float("nan")
    license: str = "MIT, (c) 2020 Music Technology Group, Universitat Pompeu Fabra; Minz Won"

    @property
    def url(self) -> str:
        """Where the file is downloaded from."""
        return f"https://github.com/{REPOSITORY}/raw/{COMMIT}/{self.path}"


def _catalogue() -> dict[str, Checkpoint]:
    found = {}
    for dataset, names in DATASETS.items():
        for model, folder in FOLDERS.items():
            name = f"{dataset}/{model}"
            architecture = "musicnn_msd" if name == "msd/musicnn" else model
            path = f"models/{dataset}/{folder}/best_model.pth"
            if name not in ABSENT:
                about = (DATA[dataset], *SCORES[dataset][model])
                found[name] = Checkpoint(name, architecture, path, SHA256.get(name), names, *about)
    return found


CATALOGUE = _catalogue()
