from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import made, made_motion

LEFT_SHOULDER, RIGHT_SHOULDER, HEAD, LEFT_FOOT = 4, 8, 3, 15


@pytest.fixture(scope="module")
def clips() -> list[made.MadeClip]:
    return [made.clip(*numbers) for numbers in made.names(subjects=4)]


def walk(text: bytes) -> list[dict[int, np.ndarray]]:
    """The joints (25, 12) of every body id in every frame; asserts the format on the way."""
    assert text.endswith(b"\r\n")
    assert text.count(b"\n") == text.count(b"\r\n") == text.count(b"\r")
    lines = iter(text.decode("ascii").split("\r\n")[:-1])
    frames = []
    for _ in range(int(next(lines))):
        frame: dict[int, np.ndarray] = {}
        for _ in range(int(next(lines))):
            header = next(lines).split(" ")
            assert len(header) == 10
            assert header[0].isdecimal()
            assert header[-1] == "2"
            assert int(next(lines)) == 25
            rows = [next(lines).split(" ") for _ in range(25)]
            assert all(len(row) == 12 and row[-1] in ("1", "2") for row in rows)
            assert int(header[0]) not in frame
            frame[int(header[0])] = np.array(rows, dtype=np.float64)
        frames.append(frame)
    assert next(lines, None) is None
    return frames


def test_clip_is_a_function_of_its_arguments() -> None:
    numbers = (2, 3, 4, 1, 13)
    text = made.to_text(made.clip(*numbers))
    made._performance.cache_clear()
    made_motion.performer.cache_clear()
    assert made.to_text(made.clip(*numbers)) == text
    first, other = made.clip(*numbers), made.clip(*numbers, seed=1)
    assert first.actors[0].shape != other.actors[0].shape or not np.allclose(first.actors[0], other.actors[0])
    assert first.bodies[0].body_id != other.bodies[0].body_id


@pytest.mark.parametrize("numbers", [(0, 1, 1, 1, 1), (1, 4, 1, 1, 1), (1, 1, 0, 1, 1), (1, 1, 1, 3, 1)])
def test_numbers_out_of_range_are_refused(numbers: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected 1 to"):
        made.clip(*numbers)
    with pytest.raises(ValueError, match="action: expected 1 to 14, found 15"):
        made.clip(1, 1, 1, 1, 15)


@pytest.mark.parametrize("action", [3, 9, 14])
@pytest.mark.parametrize("camera", [2, 3])
def test_cameras_see_one_performance(action: int, camera: int) -> None:
    middle, outer = (np.stack(made.clip(3, k, 4, 2, action).actors).reshape(-1, 3) for k in (1, camera))
    one, other = middle - middle.mean(axis=0), outer - outer.mean(axis=0)
    left, _, right = np.linalg.svd(one.T @ other)
    turn = left @ right
    assert np.linalg.det(turn) == pytest.approx(1.0)
    np.testing.assert_allclose(one @ turn, other, atol=1e-9)
    assert np.abs(one - other).max() > 0.1
    cosine = turn[0, 0]  # the two x axes lie 45 degrees apart
    assert cosine == pytest.approx(np.cos(np.pi / 4), abs=1e-9)


def test_sensor_noise_depends_on_the_camera() -> None:
    noises = []
    for camera in (1, 2, 3):
        made_clip = made.clip(1, camera, 1, 1, 1)
        body = made_clip.bodies[0]
        assert body.actor == 0
        noises.append((body.joints - made_clip.actors[0][body.frames])[:20].ravel())
    assert np.abs(np.corrcoef(noises) - np.eye(3)).max() < 0.3


def test_bones_keep_their_length_and_belong_to_the_subject(clips: list[made.MadeClip]) -> None:
    lengths: dict[str, list[np.ndarray]] = {}
    for made_clip in clips:
        for joints in made_clip.actors:
            bones = np.linalg.norm(joints - joints[:, made_motion.PARENTS], axis=-1)
            assert np.ptp(bones, axis=0).max() < 1e-9
            assert (bones[0, 1:] > 0.02).all()
        subject = made_clip.name[8:12]
        bones = np.linalg.norm(
            made_clip.actors[0][0] - made_clip.actors[0][0, made_motion.PARENTS, :], axis=-1
        )
        lengths.setdefault(subject, []).append(bones)
    for bones_of_one in lengths.values():
        np.testing.assert_allclose(bones_of_one, np.broadcast_to(bones_of_one[0], (len(bones_of_one), 25)))
    first = np.stack([bones_of_one[0] for bones_of_one in lengths.values()])
    assert np.ptp(first.sum(axis=1)) > 0.05


def test_axes_are_the_sensors() -> None:
    for replication, front in ((1, 2), (2, 3)):
        joints = made.clip(1, front, 2, replication, 1).actors[0]
        across = joints[:, RIGHT_SHOULDER, 0] - joints[:, LEFT_SHOULDER, 0]
        assert across.min() > 0.2
        assert (joints[:, HEAD, 1] > joints[:, LEFT_FOOT, 1] + 1.0).all()
        assert ((joints[..., 2] > 1.5) & (joints[..., 2] < 5.5)).all()
        for side in {2, 3} - {front}:
            turned = made.clip(1, side, 2, replication, 1).actors[0]
            assert np.abs(turned[:, RIGHT_SHOULDER, 0] - turned[:, LEFT_SHOULDER, 0]).max() < across.min()


def test_two_person_actions_have_two_actors(clips: list[made.MadeClip]) -> None:
    for made_clip in clips:
        action = int(made_clip.name[17:])
        assert len(made_clip.actors) == (2 if action in made.TWO_PERSON else 1)
        assert 30 <= made_clip.frame_count <= 70
        assert all(joints.shape == (made_clip.frame_count, 25, 3) for joints in made_clip.actors)


def test_an_action_and_its_reverse_differ_in_the_direction_of_time() -> None:
    def rise(action: int, joint: int, subject: int) -> float:
        height = made.clip(1, 1, subject, 1, action).actors[0][:, joint, 1]
        return float(height[-1] - height[0])

    def approach(action: int, subject: int) -> float:
        one, other = made.clip(1, 1, subject, 1, action).actors
        apart = np.linalg.norm(one[:, 0] - other[:, 0], axis=-1)
        return float(apart[-1] - apart[0])

    for subject in range(1, 7):
        assert max(rise(1, 6, subject), rise(1, 10, subject)) > 0.5
        assert min(rise(2, 6, subject), rise(2, 10, subject)) < -0.5
        assert rise(9, HEAD, subject) < -0.2
        assert rise(10, HEAD, subject) > 0.2
        assert approach(13, subject) < -0.4
        assert approach(14, subject) > 0.4


def test_text_holds_what_the_sensor_reports(clips: list[made.MadeClip]) -> None:
    for made_clip in clips[::7]:
        frames = walk(made.to_text(made_clip))
        assert len(frames) == made_clip.frame_count
        assert sum(map(len, frames)) == sum(len(body.frames) for body in made_clip.bodies)
        for body in made_clip.bodies:
            assert (np.diff(body.frames) > 0).all()
            read = np.stack([frames[number][body.body_id] for number in body.frames])
            np.testing.assert_allclose(
                read[..., :3].astype(np.float32), body.joints.astype(np.float32), rtol=1e-6
            )
            np.testing.assert_array_equal(read[..., 11], body.states)
            turns = np.linalg.norm(read[..., 7:11], axis=-1)
            leaves = [3, 15, 19, 21, 22, 23, 24]
            assert (turns[:, leaves] == 0.0).all()
            np.testing.assert_allclose(np.delete(turns, leaves, axis=1), 1.0, atol=1e-5)


def test_reports_stay_near_the_truth(clips: list[made.MadeClip]) -> None:
    tracked, inferred = [], []
    for made_clip in clips:
        for body in made_clip.bodies:
            if body.actor is not None:
                off = np.linalg.norm(body.joints - made_clip.actors[body.actor][body.frames], axis=-1)
                tracked.append(off[body.states == 2])
                inferred.append(off[body.states == 1])
    near, far = np.concatenate(tracked), np.concatenate(inferred)
    assert 0.01 < np.median(near) < 0.04
    assert 0.06 < np.median(far) < 0.15
    assert 0.05 < len(far) / (len(far) + len(near)) < 0.25


def test_every_event_occurs_and_is_rare(clips: list[made.MadeClip]) -> None:
    seen: Counter[str] = Counter()
    for made_clip in clips:
        counts = np.zeros(made_clip.frame_count, dtype=int)
        for body in made_clip.bodies:
            counts[body.frames] += 1
            if body.actor is None:
                spans = np.median(np.ptp(body.joints, axis=1), axis=0)
                seen["wide clutter" if spans[0] > 0.8 * spans[1] else "short clutter"] += 1
                assert spans[0] > 0.8 * spans[1] or len(body.frames) <= 11
            elif (np.diff(body.frames) > 1).any():
                seen["same id returns"] += 1
        owners = Counter(body.actor for body in made_clip.bodies if body.actor is not None)
        seen["handed over"] += max(owners.values()) > 1
        seen["nobody"] += bool((counts == 0).any())
        seen["nobody at first"] += bool(counts[0] == 0)
        seen["order changes"] += made_clip.swap is not None
    events = {"wide clutter", "short clutter", "same id returns", "handed over", "nobody", "nobody at first"}
    assert events | {"order changes"} <= {event for event, count in seen.items() if count}
    assert max(seen.values()) < 0.3 * len(clips)


def test_ids_are_distinct_integers_that_collide_in_float64(clips: list[made.MadeClip]) -> None:
    several = [made_clip for made_clip in clips if len(made_clip.bodies) > 1]
    assert several
    for made_clip in several:
        ids = [body.body_id for body in made_clip.bodies]
        assert len(set(ids)) == len(ids)
        assert len({float(body_id) for body_id in ids}) == 1
        assert min(ids) >= 2**56


def test_order_in_a_frame_is_not_identity(clips: list[made.MadeClip]) -> None:
    for made_clip in clips:
        if made_clip.swap is not None and len(made_clip.actors) == 2:
            frames = walk(made.to_text(made_clip))
            orders = {tuple(frame) for frame in frames if len(frame) == 2}
            if any(order[::-1] in orders for order in orders):
                return
    pytest.fail("no clip in which two bodies change places")


def test_names_cover_a_set() -> None:
    everything = made.names(subjects=10, replications=2)
    assert len(everything) == len(set(everything)) == 10 * len(made.CLASSES) * 3 * 2
    setups, cameras, subjects, replications, actions = (
        set(column) for column in zip(*everything, strict=True)
    )
    assert setups == {1, 2, 3, 4}
    assert (cameras, replications) == ({1, 2, 3}, {1, 2})
    assert subjects == set(range(1, 11))
    assert actions == set(range(1, len(made.CLASSES) + 1))
    for subject in subjects:
        assert len({numbers[0] for numbers in everything if numbers[2] == subject}) <= 2


@pytest.mark.parametrize("workers", [1, 2])
def test_write_makes_the_set(tmp_path: Path, workers: int) -> None:
    out = tmp_path / "some" / "set"
    count = made.write(out, subjects=1, replications=1, workers=workers)
    assert count == 3 * len(made.CLASSES)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{made.clip(*numbers).name}.skeleton" for numbers in made.names(1, 1)
    )
    numbers = made.names(1, 1)[-1]
    made_clip = made.clip(*numbers)
    assert made_clip.name == "S{:03d}C{:03d}P{:03d}R{:03d}A{:03d}".format(*numbers)
    assert (out / f"{made_clip.name}.skeleton").read_bytes() == made.to_text(made_clip)


def test_write_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "S001C001P001R001A001.skeleton").write_bytes(b"0\r\n")
    with pytest.raises(ValueError, match="expected a new folder, found one that is not empty"):
        made.write(tmp_path, subjects=1, replications=1)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="expected a new folder, found a file"):
        made.write(tmp_path / "S001C001P001R001A001.skeleton", subjects=1)
    with pytest.raises(ValueError, match="subjects"):
        made.write(tmp_path / "new", subjects=0)
    assert not (tmp_path / "new").exists()
