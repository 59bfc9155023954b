from edgeseg.core.suggest import unknown


def test_a_near_name_is_offered():
    message = unknown("verb", "strem", ["stream", "train"])
    assert message == "unknown verb 'strem'; did you mean 'stream'?"


def test_all_names_are_listed_when_none_is_near():
    assert unknown("verb", "xyz", ["stream", "eval"]) == "unknown verb 'xyz'; known: stream, eval"
    assert unknown("bundle", "xyz", []).endswith("known: none")
