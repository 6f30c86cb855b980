from __future__ import annotations

import pytest

from instruct_imagen.recipes import RecipeError, override, recipe, recipe_names


def test_every_recipe_builds_and_is_named_after_itself():
    assert "starter" in recipe_names()
    for name in recipe_names():
        assert recipe(name).name == name


def test_settings_are_read_by_their_type():
    config = override(
        recipe("starter"),
        ["minutes=1.5", "channels=32,64", "instruct.images=640", "channels_last=false", "seed=3"],
    )
    assert config.minutes == 1.5
    assert config.channels == (32, 64)
    assert config.channels_last is False
    assert {stage.name: stage.images for stage in config.stages}["instruct"] == 640
    assert recipe("starter").seed == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("minuts=3", r"unknown setting 'minuts': did you mean minutes\? .*use one of size"),
        ("instruct.image=3", r"did you mean instruct\.images\?"),
        ("zzz=3", "unknown setting 'zzz': use one of size"),
        ("minutes", "write key=value"),
        ("batch_size=many", "batch_size must be of type int"),
        ("optimizer=sgd", "one of muon, adamw, adafactor"),
        ("noises=5", "must divide batch_size"),
        ("batch_size=0", "batch_size=0 must be 1 or more"),
        ("minutes=nan", "minutes=nan must be 0 or more"),
        ("timestep_shift=0", "more than 0"),
        ("drop_both=2", "lie in 0 to 1"),
        ("channels=16", "two widths or more"),
        ("channels=10,20", "multiples of 16"),
        ("head_dim=40", "of head_dim=40"),
        ("level_layers=1,2,3", "must be 2 numbers, one for each width"),
        ("level_layers=1,0", "must be 1 or more"),
        ("size=30", "multiple of 4"),
        ("low_size=32", "low_size=32 must be a half, a third"),
        ("low_size=12", "low_size=12 must be a half, a third"),
        ("low_noise=1.5", "lie in 0 to 1"),
        ("low_noise=0.5", "low_noise=0.5 is used by upscalers alone"),
        ("max_markers=4", "5 or more"),
        ("seed=-1", "0 or more"),
        ("noises=0", "noises=0 must be 1 or more"),
        ("targets=3", "targets=3 must be 1 or 2"),
        ("channels_last=maybe", "true or false"),
    ],
)
def test_wrong_settings_name_the_cure(setting, message):
    with pytest.raises(RecipeError, match=message):
        override(recipe("starter"), [setting])


def test_an_unknown_recipe_names_the_known():
    with pytest.raises(RecipeError, match="starter"):
        recipe("stater")
