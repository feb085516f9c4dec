"""All archives with one defect each."""

import hostile
import hostile_npys
import hostile_zips


def every_case():
    return hostile.every_case() + hostile_zips.every_case() + hostile_npys.every_case()
