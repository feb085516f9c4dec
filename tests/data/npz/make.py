"""Makes the archives in this directory (made once, with NumPy 1.24.2 and Python 3.11)."""
import numpy as np
arrays = {
    "ball/x": np.arange(6, dtype=">f4").reshape(2, 3),
    "ball/name": np.array(["é", "日本"]),
    "heat/field": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "mixed/rows": np.zeros(2, np.dtype([("a", "i1"), ("b", "<f8", (2,))], align=True)),
    "é/empty": np.zeros((0, 3), "M8[ns]"),
    "_meta/step_count": np.int64(7),
}
class Pipe:
    """A file that cannot seek."""
    def __init__(self, path): self.file = open(path, "wb")
    def write(self, data): return self.file.write(data)
    def flush(self): self.file.flush()
    def read(self, *_): raise OSError
np.savez("savez.npz", **arrays)
np.savez_compressed("savez-compressed.npz", **arrays)
for name, save in (("savez-pipe.npz", np.savez), ("savez-compressed-pipe.npz", np.savez_compressed)):
    pipe = Pipe(name); save(pipe, **arrays); pipe.file.close()
