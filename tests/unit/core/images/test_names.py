from edgeseg.core.images.names import images_in


def test_pictures_of_a_folder_come_by_name_without_hidden_and_other_files(tmp_path):
    for name in ("b.PNG", "a.jpeg", "._a.jpeg", "c.txt", "png"):
        (tmp_path / name).touch()
    assert [path.name for path in images_in(tmp_path)] == ["a.jpeg", "b.PNG"]
