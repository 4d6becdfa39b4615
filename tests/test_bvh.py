import numpy as np
import pytest

from action_indrnn.data_prep import bvh
from action_indrnn.data_prep.clip import ClipError

TEXT = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT LeftUpLeg
  {
    OFFSET 1 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -2 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.033333
0 0 0 0 0 0 0 0 0
5 6 7 90 0 0 0 0 0
0 0 0 90 90 0 0 0 90
"""


def test_positions_by_hand() -> None:
    joints, names = bvh.read(TEXT, "a.bvh")
    assert names == ("Hips", "LeftUpLeg", "LeftUpLeg end")
    rest = [[0, 0, 0], [1, 0, 0], [1, -2, 0]]
    turned = [[5, 6, 7], [5, 7, 7], [7, 7, 7]]  # a quarter turn about z takes x to y and y to -x
    # z(90) x(90) takes x to y and y to z; the knee's y(90) leaves y where it is
    both = [[0, 0, 0], [0, 1, 0], [0, 1, -2]]
    np.testing.assert_allclose(joints, [[rest, turned, both]], atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MOTION", "MOTIONS", r"a\.bvh:21: expected a line MOTION"),
        ("OFFSET 1 0 0", "OFFSET 1 zero 0", r"a\.bvh:8: OFFSET: expected a number, found 'zero'"),
        ("CHANNELS 3 Z", "CHANNELS 3 W", r"a\.bvh:9: expected a channel as Xrotation, found 'Wrotation'"),
        ("JOINT", "LIMB", r"a\.bvh:6: expected JOINT, End Site or }, found 'LIMB'"),
        ("}\nMOTION", "MOTION", r"a\.bvh:14: expected JOINT, End Site or }, found the end"),
        ("Frames: 3", "Frames: 4", r"a\.bvh:17: expected Frames: 3, as many as lines follow"),
        ("5 6 7 90", "5 6 90", r"a\.bvh:20: expected 9 numbers, found 8"),
        ("5 6 7 90", "5 6 7 nan", r"a\.bvh:20: number 4: expected a number, found 'nan'"),
    ],
)
def test_damage_is_named_with_its_line(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ClipError, match=message):
        bvh.read(TEXT.replace(old, new, 1), "a.bvh")
