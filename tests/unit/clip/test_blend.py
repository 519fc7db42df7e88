import pytest
import torch

from cfray.clip.blend import blend


@pytest.fixture
def states():
    generator = torch.Generator().manual_seed(0)
    base = {"w": torch.randn(4, 3, generator=generator), "b": torch.randn(3, generator=generator), "n": torch.tensor([3, 4])}
    tuned = {"w": torch.randn(4, 3, generator=generator), "b": torch.randn(3, generator=generator), "n": torch.tensor([3, 4])}
    return base, tuned


def test_ends_are_bit_for_bit(states):
    base, tuned = states
    for alpha, expected in ((0, base), (0.0, base), (1, tuned), (1.0, tuned)):
        assert all(torch.equal(value, expected[key]) for key, value in blend(base, tuned, alpha).items())


def test_formula(states):
    base, tuned = states
    assert torch.allclose(blend(base, tuned, 0.3)["w"], 0.7 * base["w"] + 0.3 * tuned["w"])


def test_half_precision_is_blended_in_float32():
    base, tuned = {"w": torch.full((1,), 2048.0).half()}, {"w": torch.full((1,), 2050.0).half()}
    blended = blend(base, tuned, 0.5)["w"]
    assert blended.dtype == torch.float16
    assert blended.item() in (2048.0, 2050.0)  # 2049 has no float16; float16 arithmetic would lose the terms instead


def test_inputs_are_left_alone(states):
    base, tuned = states
    kept = base["w"].clone()
    blend(base, tuned, 0)["w"].zero_()
    assert torch.equal(base["w"], kept)


def test_errors_name_the_keys(states):
    base, tuned = states
    with pytest.raises(ValueError, match=r"alpha=1.5"):
        blend(base, tuned, 1.5)
    with pytest.raises(ValueError, match="differ in 1 keys: extra"):
        blend(base, tuned | {"extra": torch.ones(1)}, 0.5)
    with pytest.raises(ValueError, match=r"w \(4, 3\) and \(3, 4\)"):
        blend(base, tuned | {"w": torch.ones(3, 4)}, 0.5)
    with pytest.raises(ValueError, match="integer buffer 'n'"):
        blend(base, tuned | {"n": torch.tensor([3, 5])}, 0.5)
