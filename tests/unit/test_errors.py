import inspect

from edgeseg import errors


def test_the_drawn_tree_names_every_class_with_its_exit_code():
    drawn = {}
    for line in errors.__doc__.splitlines():
        words = line.replace("|--", " ").replace("`--", " ").replace("|", " ").split()
        if len(words) > 1 and words[1].isdigit():
            drawn[words[0]] = int(words[1])
    real = {
        name: cls.exit_code
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.EdgesegError) and cls is not errors.BudgetMissed
    }
    assert drawn == real
