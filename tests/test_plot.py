"""Figures show the numbers that they were given."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch

matplotlib.use("agg")

from mclass import plot, tags


def test_confusion_matrix_writes_counts_where_they_belong():
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    axes = plot.confusion_matrix(matrix, ["a", "b", "c"]).axes[0]
    written = {
        (round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts
    }
    assert written == {(0, 0): "8", (0, 1): "2", (1, 0): "1", (1, 1): "9"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2, 0], [0.1, 0.9, 0], [0, 0, 0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a (10)", "b (10)", "c (0)"]
    assert axes.get_title() == "Accuracy 0.85 on 20 clips"


def test_learning_curves_mark_the_best_epoch():
    history = pd.DataFrame({"train_loss": [3, 2, 1], "valid_loss": [3, 2, 4], "valid_roc_auc": [0.5, 0.8, 0.7]})
    left, right = plot.learning_curves(history).axes
    assert [line.get_ydata().tolist() for line in left.lines[:2]] == [[3, 2, 1], [3, 2, 4]]
    assert right.lines[-1].get_xdata()[0] == 1
    assert right.lines[-1].get_label() == "best epoch: 1"


def test_learning_curves_mark_the_epoch_that_training_keeps():
    history = pd.DataFrame({"valid_loss": [0.9, 0.7, 0.6, 0.8], "valid_accuracy": [0.4, 0.5, 0.5, 0.5]})
    assert plot.learning_curves(history).axes[1].lines[-1].get_label() == "best epoch: 2"


def test_curves_show_means_intervals_and_ones_own_point():
    table = pd.DataFrame({"crops": [1000, 100, 100, 1000], "way": ["b", "b", "a", "a"], "roc_auc": [4, 3, 1, 2]})
    table = table.assign(roc_auc_low=table["roc_auc"] - 0.5, roc_auc_high=table["roc_auc"] + 0.25)
    axes = plot.curves(table, "crops", "way", names={"b": "two", "a": "one"}, live={"a": (300, 1.7)}).axes[0]
    second, first, star = axes.lines
    assert [line.get_label() for line in (second, first)] == ["two", "one"]
    assert second.get_xdata().tolist() == [100, 1000]
    assert second.get_ydata().tolist() == [3, 4]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (300, 1.7)
    assert star.get_color() == first.get_color()
    band = axes.collections[1].get_paths()[0].vertices
    assert band[:, 1].min() == 0.5
    assert band[:, 1].max() == 2.25
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("crops", "ROC-AUC")
    with pytest.raises(ValueError, match="unknown way 'c'"):
        plot.curves(table, "crops", "way", live={"c": (1, 1)})
    with pytest.raises(ValueError, match="unknown column 'dose'"):
        plot.curves(table, "dose", "way")


def test_tag_bars_are_sorted_and_coloured_by_notion():
    table = pd.DataFrame(
        {"tag": ["rock", "slow", "harp", "kazoo", "weird"], "roc_auc": [0.9, 0.6, 0.7, 0.8, np.nan]}
    )
    axes = plot.tag_bars(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["slow", "harp", "kazoo", "rock"]
    assert [bar.get_width() for bar in axes.patches] == [0.6, 0.7, 0.8, 0.9]
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert colours == [
        plot.NOTION_COLOURS["tempo"],
        plot.NOTION_COLOURS["instrument"],
        "#767676",
        plot.NOTION_COLOURS["genre"],
    ]
    assert axes.get_xlabel() == "ROC-AUC (tags without a value: 1)"
    with pytest.raises(ValueError, match="no column 'pr_auc'"):
        plot.tag_bars(table, "pr_auc")


def test_spectrogram_has_seconds_on_its_axis():
    axes = plot.spectrogram(torch.zeros(1, 1, 96, 125), sample_rate=16_000, hop_length=256).axes[0]
    assert axes.get_xlim() == (0, 2.0)
    assert axes.get_ylim() == (-0.5, 95.5)
    with pytest.raises(ValueError, match="pick one of the batch"):
        plot.spectrogram(torch.zeros(2, 1, 96, 125), 16_000, 256)


def test_cooccurrence_is_a_share_of_the_row():
    labels = np.array([[1, 1], [1, 0], [1, 0], [1, 1], [0, 1]], np.uint8)
    image = plot.cooccurrence(np.repeat(labels, 100, axis=0), ["a", "b"]).axes[0].images[0].get_array()
    assert image[0, 1] == pytest.approx(2 / 4)
    assert image[1, 0] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="3 tags need labels"):
        plot.cooccurrence(labels, ["a", "b", "c"])


def test_taggram_shows_the_strongest_tags_first():
    scores = np.array([[0.1, 0.9, 0.5], [0.1, 0.7, 0.5]])
    axes = plot.taggram(scores, ["a", "b", "c"], seconds_per_chunk=3.0, top=2).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.9, 0.7], [0.5, 0.5]])
    assert axes.get_xlim() == (0, 6.0)


def test_every_tag_has_a_colour():
    assert {tags.notion(tag) for tag in tags.MAGNATAGATUNE} == set(plot.NOTION_COLOURS)


def test_figures_are_not_kept_in_memory():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    plot.confusion_matrix(np.eye(2), ["a", "b"])
    assert plt.get_fignums() == before
