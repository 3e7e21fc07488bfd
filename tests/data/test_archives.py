"""Archives that are damaged, or made to do harm, are refused with one line."""

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from bundle.data import archives
from bundle.data.archives import opened_members, read_text, unpack
from bundle.errors import DataError, MendableError

CONTENT = b"gray " * 3000


def _zip(path, name="a/b.txt", content=CONTENT, **attributes):
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        for attribute, value in attributes.items():
            setattr(info, attribute, value)
        archive.writestr(info, content)
    return path


def _refused(path, *words):
    with pytest.raises(DataError) as caught, opened_members([path]) as members:
        unpack(members[0], path.with_name("unpacked"), lambda count: None)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_was_packed_is_unpacked_and_counted(tmp_path):
    counted = []
    with opened_members([_zip(tmp_path / "z.zip")]) as (member,):
        assert (member.name, member.size, str(member)) == ("a/b.txt", len(CONTENT), f"{tmp_path}/z.zip: a/b.txt")
        unpack(member, tmp_path / "out", counted.append)
        assert read_text(member, len(CONTENT)) == CONTENT.decode()
        with pytest.raises(DataError, match="has more than 9 bytes"):
            read_text(member, 9)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert sum(counted) == len(CONTENT)


def test_files_below_a_folder_are_linked(tmp_path):
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/b.txt").write_bytes(CONTENT)
    (tmp_path / "in/a/._b.txt").write_bytes(b"of macOS")
    with opened_members([tmp_path / "in"]) as (member,):
        assert (member.name, member.size) == ("a/b.txt", 0)
        assert read_text(member, 1 << 20) == CONTENT.decode()
        unpack(member, tmp_path / "out", lambda count: pytest.fail("nothing is copied"))
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "out").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../b.txt", "a/../../b.txt", "/etc/b.txt", "C:/b.txt"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    _refused(_zip(tmp_path / "z.zip", name), "z.zip", "leads out of its folder")
    assert [path.name for path in tmp_path.iterdir()] == ["z.zip"]


def test_links_and_encrypted_files_are_refused(tmp_path):
    link = _zip(tmp_path / "l.zip", content=b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16)
    _refused(link, "is a link")
    encrypted = _zip(tmp_path / "e.zip")
    content = bytearray(encrypted.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    encrypted.write_bytes(content)
    _refused(encrypted, "is encrypted")


def test_damaged_content_is_refused(tmp_path):
    path = _zip(tmp_path / "z.zip")
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    _refused(path, "z.zip: a/b.txt: cannot be unpacked", "download it again")
    path.write_bytes(content[:100])
    _refused(path, "cannot be read as a ZIP archive")
    path.write_bytes(b"<html>not found</html>")
    _refused(path, "cannot be read as a ZIP archive")


def test_a_size_that_lies_writes_no_more_than_it_says(tmp_path):
    path = _zip(tmp_path / "z.zip", content=bytes(1 << 20))
    content = path.read_bytes().replace(struct.pack("<I", 1 << 20), struct.pack("<I", 100))
    path.write_bytes(content)
    _refused(path, "cannot be unpacked")
    assert (tmp_path / "unpacked").stat().st_size <= 100


def test_limits(tmp_path, monkeypatch):
    path = _zip(tmp_path / "z.zip")
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 1000)
    _refused(path, f"unpacks to {len(CONTENT)} bytes", "at most 1000")
    monkeypatch.setattr(archives, "MOST_MEMBERS", 0)
    _refused(path, "holds 1 files, of which at most 0")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").touch()
    _refused(tmp_path / "in", "holds more than 0 files")


def test_places_that_are_not_there(tmp_path):
    _refused(tmp_path / "absent.zip", "absent.zip: no such file")
    with pytest.raises(MendableError, match="no regular file"), opened_members([Path("/dev/null")]):
        pass
