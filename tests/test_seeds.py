import torch

from action_indrnn.seeds import seed_torch


def test_a_step_s_random_numbers_are_those_of_its_place_alone() -> None:
    seed_torch(3, 5, 7)
    first = torch.rand(4)
    seed_torch(3, 5, 8)
    other = torch.rand(4)
    seed_torch(3, 5, 7)
    assert torch.equal(torch.rand(4), first)
    assert not torch.equal(other, first)
    torch.manual_seed(torch.default_generator.initial_seed())  # the shorter way gives the very numbers
    assert torch.equal(torch.rand(4), first)
