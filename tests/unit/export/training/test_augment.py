from __future__ import annotations

import pytest
import torch

from export.training.augment import Augmentation, augment, mixup

NOTHING = Augmentation(
    shift=False,
    gain=0,
    lead_gain=0,
    rotation_probability=0,
    noise_probability=0,
    wander_probability=0,
    dropout_probability=0,
    mask_probability=0,
    stretch_probability=0,
    rescale_probability=0,
    mixup_probability=0,
)


def _ecg(count: int = 6) -> torch.Tensor:
    """Random signals that obey Einthoven's law and Goldberger's definitions."""
    x = torch.randn(count, 12, 1000, generator=torch.Generator().manual_seed(1))
    one, two = x[:, 0].clone(), x[:, 1].clone()
    x[:, 2], x[:, 3], x[:, 4], x[:, 5] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    return x


def _random(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _with(**changes: object) -> Augmentation:
    from dataclasses import replace

    return replace(NOTHING, **changes)  # type: ignore[arg-type]


def test_switched_off_it_changes_nothing() -> None:
    torch.testing.assert_close(augment(_ecg(), NOTHING, _random()), _ecg(), rtol=1e-5, atol=1e-5)


def test_the_same_seed_gives_the_same_batch_and_another_seed_another() -> None:
    settings = Augmentation()
    a, b = augment(_ecg(), settings, _random()), augment(_ecg(), settings, _random())
    assert torch.equal(a, b)
    assert not torch.equal(a, augment(_ecg(), settings, _random(6)))
    assert torch.isfinite(a).all()


def test_a_shift_is_a_rotation_of_the_same_samples() -> None:
    x = _ecg(1)
    y = augment(x, _with(shift=True), _random())
    assert not torch.allclose(x, y)
    torch.testing.assert_close(y.sort(2).values, x.sort(2).values)


def test_turning_the_heart_keeps_the_limb_leads_consistent() -> None:
    y = augment(_ecg(), _with(rotation_probability=1.0), _random())
    assert not torch.allclose(y, _ecg(), atol=1e-2)
    torch.testing.assert_close(y[:, 2], y[:, 1] - y[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(y[:, 3], -(y[:, 0] + y[:, 1]) / 2, rtol=1e-4, atol=1e-4)


def test_dropout_silences_whole_leads_and_never_more_than_asked() -> None:
    y = augment(_ecg(50), _with(dropout_probability=1.0, dropout_leads=3), _random())
    silent = (y == 0).all(2).sum(1)
    assert int(silent.min()) >= 1
    assert int(silent.max()) <= 3


def test_rescaling_gives_every_lead_the_same_range() -> None:
    y = augment(_ecg(), _with(rescale_probability=1.0), _random())
    torch.testing.assert_close(y.amax(2) - y.amin(2), torch.ones(6, 12), rtol=1e-4, atol=1e-4)


def test_mixup_mixes_signals_and_targets_alike() -> None:
    x, y = _ecg(8), {"statements": torch.eye(8)}
    mixed, target = mixup(x, y, _with(mixup_probability=1.0), _random(), seed=3)
    share = target["statements"]
    torch.testing.assert_close(share.sum(1), torch.ones(8))
    torch.testing.assert_close(mixed, torch.einsum("ij,jlt->ilt", share, x), rtol=1e-4, atol=1e-4)
    assert float(share.diagonal().min()) >= 0.5


@pytest.mark.parametrize("field", ["noise_probability", "wander_probability", "mask_probability"])
def test_each_disturbance_disturbs(field: str) -> None:
    assert not torch.equal(augment(_ecg(), _with(**{field: 1.0}), _random()), _ecg())


def test_noise_has_the_ratio_that_was_asked_for() -> None:
    x = 0.2 * _ecg(200)
    noise = augment(x, _with(noise_probability=1.0, noise_snr_db=(12.0, 12.0)), _random()) - x
    power = x.var(2).mean(1) / noise.var(2).mean(1)
    assert 10 * torch.log10(power).mean() == pytest.approx(12.0, abs=0.1)
    wide = augment(x, _with(noise_probability=1.0, noise_snr_db=(0.0, 30.0)), _random()) - x
    ratio = 10 * torch.log10(x.var(2).mean(1, keepdim=True) / wide.var(2))
    assert float(ratio.min()) > -1
    assert float(ratio.max()) < 31
    assert float(ratio.std()) > 7
