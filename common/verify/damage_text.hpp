#pragma once

#include <string>

#include "verify/damage.hpp"

namespace mad {

/// What a person is told of it: a line a finding, then what is left of the arrays; each line
/// behind a margin like that of a check.
std::string format_damage(const Damage& damage);

/// The member `damage` of mad-verify's JSON (mad-verify(1)).
std::string format_damage_json(const Damage& damage);

/// One array as an object, with `more` members (`,"key":value`).
std::string format_array_json(const ExaminedArray& array, const std::string& more);

/// `{"proven":1,"consistent":0,"damaged":0,"lost":0}`
std::string format_counts_json(const Damage& damage);

}  // namespace mad
