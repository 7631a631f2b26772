"""The user's settings: read where they stand, whatever command asks for them."""

import pytest
import yaml

from mac import plan
from mac.cli import main
from mac.runtime import user
from mac.validation import ConfigError, read_yaml, validate


@pytest.fixture
def settings(root, tmp_path):
    """Write config.yaml with other values; returns its path."""

    def write(**values):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(read_yaml(root / "config" / "config.yaml") | values))
        return path

    return write


def test_the_plan_counts_what_the_users_results_folder_holds(root, settings, tmp_path, capsys):
    own = ["plan", "--scale", "smoke", "--config-dir", str(root / "config")]
    run = next(iter(plan.load(root / "config", "smoke").finetunings))
    main([*own, "--settings", str(settings(results=str(tmp_path / "mine")))])
    before = capsys.readouterr().out
    done = tmp_path / "mine" / "finetune" / run / "metrics.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    main([*own, "--settings", str(tmp_path / "config.yaml")])
    changed = set(capsys.readouterr().out.splitlines()) - set(before.splitlines())
    assert any(run in line and "done" in line for line in changed)


@pytest.mark.parametrize(
    ("values", "environment", "address"),
    [
        ({}, None, "sqlite:///results/mlflow.db"),
        ({"results": "mine/"}, None, "sqlite:///mine/mlflow.db"),
        ({}, "http://bob:x@host", "http://bob:x@host"),
        ({"tracking_uri": "http://host:5000"}, "http://other", "http://host:5000"),
    ],
)
def test_the_tracking_store_is_the_settings_else_the_environments_else_beside_the_results(
    settings, monkeypatch, values, environment, address
):
    monkeypatch.delenv(user.TRACKING_URI, raising=False)
    if environment:
        monkeypatch.setenv(user.TRACKING_URI, environment)
    assert user.load(settings(**values)).tracking_store == address


@pytest.mark.parametrize("share", [0.2, "0.2", "2e-1"])
def test_a_share_may_be_text_as_snakemakes_command_line_gives_it(settings, share):
    assert user.load(settings(max_unusable={"default": share})).max_unusable == {"default": 0.2}


@pytest.mark.parametrize("share", ["a fifth", "1.5", 2, None])
def test_a_share_that_is_none_is_refused(settings, share):
    with pytest.raises(ConfigError, match=r"max_unusable\.default"):
        user.load(settings(max_unusable={"default": share}))


@pytest.mark.parametrize("written", ["mine", "mine/", "./mine", "./a/../mine//"])
def test_a_folder_is_spelled_in_one_way(root, written):
    tree = read_yaml(root / "config" / "config.yaml") | {"results": written}
    assert validate(user.UserConfig, tree).results == "mine"


@pytest.mark.parametrize("written", ["", ".", "a{b}", "a\nb", "-x"])
def test_a_folder_that_commands_would_misread_is_refused(settings, written):
    with pytest.raises(ConfigError, match="results: "):
        user.load(settings(results=written))


def test_a_home_folder_is_expanded(settings, monkeypatch):
    monkeypatch.setenv("HOME", "/home/bob")
    assert user.load(settings(data_root="~/videos")).data_root == "/home/bob/videos"


def test_a_file_that_is_wrong_is_named(settings):
    path = settings(device="gpu")
    with pytest.raises(ConfigError, match=rf"{path}: device: found 'gpu'"):
        user.load(path)


def test_the_browser_wants_an_address_or_the_settings(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["ui"])
    assert exited.value.code == 2
    assert "give --tracking-uri, or --settings config/config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("epochs", ["auto", 0, 5])
def test_a_monitor_looks_every_so_many_epochs_or_when_it_is_cheap(settings, epochs):
    assert user.load(settings(monitor_epochs=epochs)).monitor_epochs == epochs


@pytest.mark.parametrize("epochs", ["often", -1, 2.5, None])
def test_other_distances_are_refused(settings, epochs):
    with pytest.raises(ConfigError, match=r"monitor_epochs"):
        user.load(settings(monitor_epochs=epochs))
