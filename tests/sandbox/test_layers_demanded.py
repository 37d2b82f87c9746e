"""Nothing is run where a property is held by no layer that is in force."""

import itertools

import pytest

from tandem.errors import UserError
from tandem.sandbox.layers import ALL, GUARDS, Layers, demand


def layers(*active):
    return Layers(frozenset(active), {name: "not there" for name in ALL if name not in active})


def test_all_layers_guard_everything():
    assert layers(*ALL).unguarded() == []
    demand(layers(*ALL), None)


@pytest.mark.parametrize("name", GUARDS)
def test_a_property_is_unguarded_only_without_every_one_of_its_layers(name):
    rest = set(ALL) - set(GUARDS[name])
    assert name in layers(*rest).unguarded()
    for one in GUARDS[name]:
        assert name not in layers(*rest, one).unguarded()


@pytest.mark.parametrize("name", GUARDS)
def test_an_unguarded_property_is_refused_by_its_name_with_a_way_out(name):
    with pytest.raises(UserError) as refused:
        demand(layers(*set(ALL) - set(GUARDS[name])), None)
    assert name in str(refused.value)
    assert "--sandbox docker" in str(refused.value)
    assert "not there" in str(refused.value)


def test_every_set_of_layers_is_refused_exactly_if_something_is_unguarded():
    for count in range(len(ALL) + 1):
        for active in itertools.combinations(ALL, count):
            if layers(*active).unguarded():
                with pytest.raises(UserError):
                    demand(layers(*active), None)
            else:
                demand(layers(*active), None)


def test_a_layer_asked_for_by_name_must_be_there():
    demand(layers("limits", "deadline"), ("limits",))
    with pytest.raises(UserError, match="seccomp"):
        demand(layers("limits", "deadline"), ("limits", "seccomp"))


def test_asked_for_nothing_anything_will_do():
    demand(layers(), ())


def test_every_guard_is_a_layer_that_exists():
    assert {name for by in GUARDS.values() for name in by} <= set(ALL)
    assert all(GUARDS.values())
