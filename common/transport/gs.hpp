#pragma once

#include <memory>

#include "transport/transport.hpp"

namespace mad {

/// Google Cloud Storage: gs://BUCKET/NAME, by its JSON API.
///
/// Not by the XML API, although its refusals say more: only the JSON API's answer to a write
/// is the object's whole resource (generation, size, checksums) and only it changes metadata
/// in place; and it is what STORAGE_EMULATOR_HOST stands for.
///
/// A version is a generation: ranges ask for it by number, conditions are ifGenerationMatch.
/// A patch of an object's metadata leaves it what it is.  What goes up carries its CRC-32C,
/// which the store holds against what it got, and the answer against what was sent; of a
/// whole object that comes down the CRC is checked where the store tells it.  Objects stored
/// with a Content-Encoding are refused: GCS would else decompress them on the way.
///
/// An upload is a resumable one: parts one after another, whatever their number, nothing of
/// it in the bucket before finish().  Its session lives on for a week where the process dies
/// without a chance to abort; it is listed nowhere.  Late metadata is a patch of the new
/// generation: a reader finds the whole object without it, then, in one step, with all of
/// it.  (A compose from a temporary name would be one step in all, but leave that name
/// behind where the process dies.)
std::unique_ptr<Transport> open_gs_transport(const TransportOptions& options);

}  // namespace mad
