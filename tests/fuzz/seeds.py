#!/usr/bin/python3
"""Writes what the fuzz targets begin with: seeds.py DIRECTORY makes DIRECTORY/TARGET/… for
each of them, from honest archives, manifests, bundles and answers, and some that are not.
"""

import hashlib
import io
import itertools
import json
import pathlib
import shutil
import sys
import tarfile
import tempfile
import zipfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from madtest import SOURCE, make_state, reference_manifest, run, small_arrays  # noqa: E402

FIELD = b"\x1e"


class Seeds:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def add(self, target, *inputs):
        place = self.directory / target
        place.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs, len(list(place.iterdir()))):
            data = data.encode() if isinstance(data, str) else data
            (place / f"seed-{number:03}").write_bytes(data)


def must(*argv, **options):
    done = run(*argv, **options)
    if done.returncode != 0:
        sys.exit(f"seeds: {argv[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=False)
    return file.getvalue()


def npz(save, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


class Pipe(io.BytesIO):
    """Cannot be rewound, so that sizes follow the data."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")

    def tell(self):
        raise io.UnsupportedOperation("tell")


def piped(save, **arrays):
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", save) as archive:
        for name, array in arrays.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                member.write(npy(array))
    return pipe.getvalue()


def archives():
    small = {"ball/pos": np.array([0.25, 1.5]), "_meta/step_count": np.array(42)}
    yield npz(np.savez, **small)
    yield npz(np.savez_compressed, **small)
    yield npz(np.savez, empty=np.zeros((0, 3)), text=np.array(["a", "bc"]))
    yield piped(zipfile.ZIP_STORED, **small)
    yield piped(zipfile.ZIP_DEFLATED, **small)
    for path in sorted((SOURCE / "tests/data/npz").glob("*.npz")):
        if path.stat().st_size < 16_000:
            yield path.read_bytes()


def hostile(archive):
    """What one change makes of it."""
    yield archive[:-1]
    yield archive + b"\0"
    yield archive[: len(archive) // 2]
    for at in (14, 18, 26, 28, len(archive) - 6, len(archive) - 12):
        yield archive[:at] + b"\xff" + archive[at + 1:]


def npy_headers():
    for dtype in ("<f8", ">i2", "?", "<c16", "S3", "<U2", "<M8[ns]", "V5",
                  [("a", "<i4"), ("b", "<f8", (2,))]):
        yield npy(np.zeros((2, 3), dtype=dtype))
    yield npy(np.zeros((), dtype="<f4"))
    yield npy(np.asfortranarray(np.zeros((3, 2))), (2, 0))
    yield npy(np.zeros(4, dtype=[("\u00e9", "<i4")]), (3, 0))
    yield npy(np.zeros(2)).replace(b"(2,)", b"(-2,)").replace(b", } ", b", }")
    yield b"\x93NUMPY\x01\x00\x3a\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }     \n"


def manifests(work, snapshot):
    text = pathlib.Path(f"{snapshot}.manifest.json").read_text(encoding="utf-8")
    yield text
    reference = shutil.copy(snapshot, work / "reference.npz")
    for extra in ({}, {"session_id": "a\"\u00e9", "n": [1, 2.5e-3, None, True]}):
        yield reference_manifest(reference, extra).read_text(encoding="utf-8")
    yield text.replace('"size_bytes": ', '"size_bytes": -')
    yield text.replace('"schema_version": 1', '"schema_version": 1e0')
    yield text.replace("{", '{"sha256": "0", ', 1)
    yield text[: len(text) // 2]


def member_tables(manifest):
    table = json.dumps(json.loads(manifest)["members"])
    yield table
    yield table.replace('"offset": ', '"packed_bytes": 9, "offset": ')
    yield table.replace("}", ', "fortran_order": true}')
    yield table.replace('"shape": [', '"shape": [9223372036854775807, ')
    yield table.replace('"crc32": "', '"crc32": "g')
    yield "[]"


def damaged(npz, *manifests):
    """With chunks small enough to be several."""
    for text in manifests:
        manifest = json.loads(text)
        manifest["chunks"] = {"algorithm": "sha256", "chunk_bytes": 256, "digests": [
            hashlib.sha256(npz[i:i + 256]).hexdigest() for i in range(0, len(npz), 256)]}
        front = json.dumps(manifest).encode() + FIELD
        yield front + npz
        yield front + npz[:len(npz) // 2]
        yield front + npz + b"PK"
        yield front + npz[:300] + bytes(200) + npz[500:]
        yield front + npz[:-80] + bytes(80)
        yield text.encode() + FIELD + npz.replace(b"ball/pos", b"ball/pox", 1)
    yield FIELD + npz
    yield FIELD + b"xx" + npz[:-22]


def json_texts():
    yield from ("[]", '{"a": [1, -0.5e+7, true, null, "\\u00e9\\ud83d\\ude00"]}', '{"a": NaN}',
                "[Infinity, -Infinity]", '"\\ud800"', "01", "[1,]", '{"a": 1, "a": 2}',
                "[" * 70 + "]" * 70, '\ufeff{}', ' \t\r\n{} ', '{"a"\n:\t1}', "1e400",
                "123456789012345678901234567890")


def seals(bundles):
    for bundle in bundles:
        with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
            for member in archive:
                if member.name == ".mad-seal.json":
                    yield archive.extractfile(member).read()


def urls():
    yield from ("https://user:pass@example.com:8443/a/sim.npz?sig=abc#f",
                "http://127.0.0.1/sim.npz", "http://[::1]:80/x", "http://[fe80::1%25eth0]/x",
                "http://0x7f.1/x", "http://169.254.169.254/latest", "http://EXAMPLE.com./%2e%2e/",
                "s3://bucket/a key/+%25.npz", "gs://bucket/o", "az://container/dir/blob",
                "azure://account/container/blob", "file:///tmp/a%20b.npz", "file://localhost/x",
                "https://account.blob.core.windows.net/c/b?sv=1&sig=a%2Fb", "s3://", "http://",
                "http://a b/", "http://h/\r\nX: y", "//h/x", "http://h:99999/")
    for reference in ("/x", "../y?z", "//other/x", "?q", "https:x", "http://u:p@h/", "file:///x"):
        yield b"http://example.com/a/b?c" + FIELD + reference.encode()


ERROR = ("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>a &amp; &#65;</Message>"
         "<Region>eu-west-1</Region></Error>")
LISTING = ("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t"
           "</NextContinuationToken><Contents><Key>dir/a b</Key><Size>5</Size><ETag>&quot;v&quot;"
           "</ETag><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
           "</ListBucketResult>")
BLOBS = ("<EnumerationResults><Blobs><Blob><Name>dir/a</Name><Properties><Content-Length>5"
         "</Content-Length><Etag>0x8</Etag><Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT"
         "</Last-Modified></Properties></Blob></Blobs><NextMarker/></EnumerationResults>")
OBJECT = json.dumps({"name": "dir/a", "size": "5", "generation": "7", "md5Hash": "AA==",
                     "crc32c": "AAAAAA==", "updated": "2026-01-02T03:04:05.000Z",
                     "metadata": {"sha256": "0"}})
PAGE = json.dumps({"items": [json.loads(OBJECT)], "nextPageToken": "t"})
DENIED = json.dumps({"error": {"code": 403, "errors": [{"reason": "forbidden"}]}})


def store_texts():
    yield from ("\0" + text for text in (ERROR, LISTING, BLOBS, "<a><!-- x --><b/></a>",
                                         "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"))
    yield from ("\1" + text for text in (OBJECT, PAGE, DENIED))
    yield from ("\2" + text for text in ("120", "Fri, 02 Jan 2026 03:04:05 GMT", "-1", "AAAA",
                                         "2026-01-02T03:04:05.678+01:00", "AAA=", "1e9"))
    head = ("ETag:\"v\"", "Content-Length:10", "Content-Range:bytes 10-29/100",
            "Last-Modified:Fri, 02 Jan 2026 03:04:05 GMT", "x-goog-generation:7",
            "x-amz-meta-sha256:0", "x-goog-hash:crc32c=AAAAAA==", "Content-Encoding:gzip")
    for choice in "\0\1":
        yield "\3" + choice + "\x1e".join(head)


def http_answer(status, body="", *headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "ETag: \"v\"", *headers]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def store_answers():
    generation = "x-goog-generation: 7"
    part = http_answer(206, "b" * 20, "Content-Range: bytes 10-29/100", generation)
    answers = {
        0: [http_answer(200, "", generation), http_answer(404, ERROR), http_answer(200, OBJECT)],
        1: [http_answer(200, "bytes", generation), http_answer(200, "bytes").replace(": 5", ": 9"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n"],
        2: [part, part.replace("10-29", "11-30"), http_answer(412), http_answer(416),
            http_answer(200, "b" * 100)],
        3: [http_answer(200, LISTING) + "\x1e" + http_answer(200, LISTING),
            http_answer(200, BLOBS), http_answer(200, PAGE)],
        4: [http_answer(200, OBJECT), http_answer(201), http_answer(400, ERROR)],
        5: [http_answer(412, ERROR) + "\x1e" + http_answer(200, OBJECT)],
        6: [http_answer(200, "<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                             "</InitiateMultipartUploadResult>") + "\x1e" +
            http_answer(200) + "\x1e" +
            http_answer(200, "<CompleteMultipartUploadResult><ETag>\"e\"</ETag>"
                             "</CompleteMultipartUploadResult>"),
            http_answer(200, "", "Location: http://store.test/upload?id=1") + "\x1e" +
            http_answer(200, OBJECT)],
        7: [http_answer(204), http_answer(404), http_answer(403, DENIED)],
    }
    for scheme, (call, texts) in itertools.product("\0\1\2\3", answers.items()):
        for text in texts:
            yield scheme + chr(call) + text
    for status in (301, 302, 307, 400, 403, 429, 500, 503):
        yield "\0\1" + http_answer(status, ERROR, "Location: http://server.test/other",
                                   "Retry-After: 1")


def credentials():
    secret = "abcdefghijklmnopqrstuvwxyz0123456789"
    yield f"\0[default]\naws_access_key_id = AKIA\naws_secret_access_key = {secret}\n"
    yield f"\1[profile a b]\nregion = eu-west-1\ncredential_process = x {secret}\n[default]\n"
    yield (f"\2DefaultEndpointsProtocol=https;AccountName=a;AccountKey={secret};"
           "EndpointSuffix=core.windows.net")
    yield f"\2BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sv=1&sig={secret}"
    yield "\3" + json.dumps({"type": "service_account", "client_email": "a@b", "expires_in": 3600,
                             "private_key": f"-----BEGIN PRIVATE KEY-----\n{secret}\n"
                                            "-----END PRIVATE KEY-----\n"})
    yield "\4" + json.dumps({"access_token": secret, "expires_in": 3600, "token_type": "Bearer"})
    yield "\4" + json.dumps({"access_token": secret + "\n", "expires_on": "1700003600"})
    yield "\5" + json.dumps({"AccessKeyId": "AKIA", "SecretAccessKey": secret, "Token": "t",
                             "Expiration": "2026-01-02T03:04:05Z", "Code": "Success"})
    yield "\0http://169.254.170.2/v2/credentials"


def notices():
    yield json.dumps({"action": "terminate", "time": "2026-09-18T08:22:00Z"})
    yield json.dumps({"noticeTime": "2026-09-18T08:22:00Z"})
    yield json.dumps({"DocumentIncarnation": 2, "Events": [
        {"EventId": "f020ba2e-3bc0-4c40-a10b-86575a9eabd5", "EventType": kind,
         "ResourceType": "VirtualMachine", "Resources": ["vm_0", "vm_1"], "EventStatus": status,
         "NotBefore": when, "DurationInSeconds": -1}
        for kind, status, when in (("Preempt", "Scheduled", "Mon, 19 Sep 2016 18:29:47 GMT"),
                                   ("Freeze", "Started", ""))]})


def journals():
    for there in "\0\1\2\3\4":
        yield there + "@0 300\n"
        yield there + "@300 300\n0 300\n0 100\n900 100\n"
    yield from ("\4@0 1000\n5", "\4@1 18446744073709551615\n", "\4@-1 5\n", "\4mad-partial 2 x\n")


def swap_plans(plans):
    yield from plans
    yield from ("-ball/pos.npy;+ball/vel.npy;", "-../evil.npy;", "+/etc/passwd;", "-ball;",
                "d.mad-swap;", ";;;", "-ball/pos.npy")


def topologies(snapshot):
    text = must("mad-manifest", "topology", "--json", snapshot)
    yield text
    yield text + FIELD + text
    yield text + FIELD + text.replace(b"<f8", b"<f4")
    yield text + FIELD + text.replace(b"[2]", b"[3]")


def bundles(snapshot):
    """Fetched, verified, absent, failed, without a manifest, and with a restart."""
    fetched = must("mad-fetch", snapshot)
    yield fetched
    yield must("mad-verify", stdin=fetched)
    yield must("mad-fetch", "")
    yield run("mad-fetch", f"{snapshot}.none").stdout
    yield run("mad-verify", stdin=fetched.replace(b"NUMPY", b"NUMPX", 1)).stdout


# The key of RFC 8032, section 7.1, TEST 1, which trusted_stream trusts.
KEY = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""


def signed(work):
    """A bundle that KEY signed, in three orders, and one without its signature."""
    key = work / "key.pem"
    key.write_text(KEY)
    key.chmod(0o600)
    snapshot = work / "signed.npz"
    must("mad-snapshot", "-q", "--sign-key", key, "-o", snapshot, work / "state")
    names = [snapshot.name + suffix for suffix in ("", ".manifest.json", ".manifest.json.sig")]
    yield must("mad-snapshot", "-q", "--sign-key", key, "-o", "-", work / "state")
    for order in ((0, 1, 2), (1, 2, 0), (1, 0, 2), (0, 1)):
        yield must("tar", "c", "-H", "ustar", "-C", work, *(names[i] for i in order))


def signatures():
    good = bytes.fromhex(  # of the empty message, there
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
        "b46bd25bf5f0595bbe24655141438e7a100b")
    for pem in (KEY, PUBLIC_KEY, KEY + PUBLIC_KEY, KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")):
        for signature in (good, good[:63], b""):
            yield pem.encode() + FIELD + signature + FIELD


def write_all(directory, work):
    seeds = Seeds(directory)
    snapshot = work / "sim.npz"
    must("mad-snapshot", "-q", "-o", snapshot, make_state(work / "state", small_arrays()))
    made = list(archives()) + [snapshot.read_bytes()]
    for target in ("npz", "npz_stream"):
        seeds.add(target, *made, *hostile(made[0]), *hostile(made[-1]))
    seeds.add("npy_header", *npy_headers())
    texts = list(manifests(work, snapshot))
    seeds.add("manifest", *texts)
    seeds.add("member_table", *member_tables(texts[0]))
    seeds.add("damage", *damaged(made[-1], texts[0], texts[1]))
    seeds.add("json_text", *texts, *json_texts())
    seeds.add("topology", *topologies(snapshot))
    streams = list(bundles(snapshot))
    seeds.add("bundle", *streams)
    seeds.add("seal", *seals(streams))
    seeds.add("verify_stream", *(bytes([choice]) + stream
                                 for choice in range(4) for stream in streams))
    seeds.add("trusted_stream", *(bytes([choice]) + stream
                                  for choice in range(8) for stream in signed(work)))
    seeds.add("signature", *signatures())
    seeds.add("url", *urls())
    seeds.add("store_text", *store_texts())
    seeds.add("store_answers", *store_answers())
    seeds.add("credentials", *credentials())
    seeds.add("notice", *notices())
    seeds.add("partial_journal", *journals())
    seeds.add("swap_plan", *swap_plans([]))
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    own = json.dumps({"schema_version": 1, "sha256": abc, "size_bytes": 3, "extra": {}})
    seeds.add("place_names", *("\x1e".join([
        "run-0000000001-20260131T120000Z.npz", a, "x-after-failed-20260131T120000Z.npz", b,
        "x.npz.manifest.json.sig.next", "", ".x.npz.mad-abcdefgh", a, ".x.npz.mad-partial.parts",
        "{"]) for a in texts[:4] for b in texts[:4]))
    seeds.add("next_manifest", *(a + "\x1e" + b for a in (own, texts[1], "")
                                 for b in (own, texts[1], "", own[:-1])))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: seeds.py DIRECTORY")
    with tempfile.TemporaryDirectory() as work:
        write_all(sys.argv[1], pathlib.Path(work))


if __name__ == "__main__":
    main()
