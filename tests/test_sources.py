import re
import zipfile
from pathlib import Path

import pytest

from action_indrnn.data_prep import sources
from action_indrnn.data_prep.clip import ClipError


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_files_folders_and_archives(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "B.skeleton").write_bytes(b"b")
    (tmp_path / "deep" / "notes.txt").write_text("not a recording")
    (tmp_path / "C.skeleton").write_bytes(b"c")
    archive = make_zip(
        tmp_path / "deep" / "a.zip",
        {
            "nturgb+d_skeletons/A.skeleton": b"a",
            "../D.skeleton": b"d",
            "__MACOSX/._A.skeleton": b"",
            "readme.txt": b"",
            "empty.skeleton/": b"",
        },
    )
    found = sources.find([tmp_path])
    assert [(source.name, source.read()) for source in found] == [
        ("A", b"a"),
        ("B", b"b"),
        ("C", b"c"),
        ("D", b"d"),
    ]
    assert str(found[0]) == f"{archive}/nturgb+d_skeletons/A.skeleton"
    assert sources.find([tmp_path / "C.skeleton", archive, tmp_path]) == found


def test_unusable_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.zip").write_bytes(b"PK no archive")
    (tmp_path / "a.txt").write_bytes(b"text")
    make_zip(tmp_path / "other.zip", {"a.txt": b""})
    for name, message in (
        ("nowhere", "found nothing there"),
        ("folder", "expected .skeleton recordings, found none"),
        ("a.zip", "expected a .skeleton file or a zip archive"),
        ("a.txt", "expected a .skeleton file or a zip archive"),
        ("other.zip", "expected .skeleton recordings, found none"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            sources.find([tmp_path / name])
        assert str(error.value).startswith(str(tmp_path / name))


def test_what_a_folder_holds_but_does_not_give_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "UPPER.SKELETON").write_bytes(b"u")
    (tmp_path / "folder.skeleton").mkdir()
    (tmp_path / "loop.skeleton").symlink_to("loop.skeleton")
    (tmp_path / "gone.skeleton").symlink_to("nowhere")
    (tmp_path / "bad.zip").write_bytes(b"PK no archive")
    path = make_zip(tmp_path / "twice.zip", {"A.skeleton": b"a"})
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("A.skeleton", b"b")
    found = {source.name: source for source in sources.find([tmp_path])}
    assert found["UPPER"].read() == b"u"
    for name, problem in {
        "folder": "expected a file, found a folder",
        "loop": "cannot be read: ",
        "gone": "cannot be read: No such file",
        "bad.zip": "expected a .skeleton file or a zip archive",
        "A": "expected the member once, found it 2 times",
    }.items():
        assert problem in found[name].problem
        with pytest.raises(ClipError, match="^" + re.escape(f"{found[name]}: {found[name].problem}")):
            found[name].read()


def test_a_damaged_lzma_member_is_the_clip_s(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("A.skeleton", bytes(range(256)) * 40)
    content = bytearray(path.read_bytes())
    content[55:75] = bytes(20)
    path.write_bytes(bytes(content))
    with pytest.raises(ClipError, match="damaged inside the archive"):
        sources.find([path])[0].read()


def test_damage_inside_an_archive_is_the_clips(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"A.skeleton": bytes(range(256)) * 20, "B.skeleton": b"b"})
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(bytes(content))
    first, second = sources.find([path])
    with pytest.raises(ClipError, match=r"a\.zip/A\.skeleton: damaged inside the archive"):
        first.read()
    assert second.read() == b"b"


def test_absurd_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SIZE_LIMIT", 10)
    (tmp_path / "A.skeleton").write_bytes(bytes(11))
    make_zip(tmp_path / "b.zip", {"B.skeleton": bytes(11)})
    for source in sources.find([tmp_path]):
        with pytest.raises(ClipError, match="expected at most 10 bytes, found 11"):
            source.read()
