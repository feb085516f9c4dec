"""A bounded run of differential.py from a fixed seed, and over the hostile archives."""

import differential
import hostile_archives
import madtest


class Differential(madtest.Case):
    def assert_explained(self, inputs):
        counts, unexplained = differential.run(inputs)
        self.assertEqual(unexplained, [])
        return counts

    def test_mutated_archives(self):
        counts = self.assert_explained(
            differential.mutated(0, 500 if madtest.SANITIZED else 5000))
        # Else it would say nothing.
        for what in ("taken by both", "refused by both"):
            self.assertGreater(counts[what], counts["tried"] / 10)
        self.assertGreater(len(counts), 8)

    def test_the_hostile_archives(self):
        counts = self.assert_explained((case["name"], case["data"])
                                       for case in hostile_archives.every_case())
        self.assertEqual(counts["taken by both"], 0)
        self.assertEqual(set(differential.CLASSES) - set(counts), set())

    def test_a_difference_without_a_class_is_told(self):
        """So that the tests above can fail."""
        array = {"key": "a/x", "descr": "'<f8'", "shape": [2], "npy": differential.hostile.GOOD.hex()}
        seen = {"a/x": differential.every_dtype.load_npy(differential.hostile.GOOD)}
        self.assertIsNone(differential.difference(b"", seen, {"arrays": [array]}))
        for answer in ({"arrays": []}, {"arrays": [array | {"descr": "'>f8'"}]},
                       {"arrays": [array | {"npy": differential.hostile.OTHER.hex()}]},
                       {"reason": "bug", "message": "local header"}):
            self.assertIsNone(differential.difference(b"", seen, answer)[0])
        self.assertIsNone(differential.difference(b"", None, {"arrays": [array]})[0])


if __name__ == "__main__":
    madtest.main()
