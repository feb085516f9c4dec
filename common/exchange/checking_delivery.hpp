#pragma once

#include <memory>

#include "exchange/delivery.hpp"

namespace mad {

/// What is fetched is checked as it comes, and kept nowhere.
///
/// The manifest's schema, then size, SHA-256, chunks and members, and the archive's structure
/// with every CRC; of an archive that cannot be followed in passing (NpzStreamAuditor: one
/// that is deflated) the structure is left out.  finish() throws what mad-verify would say.
std::unique_ptr<Delivery> deliver_to_check(const SourceNames& source);

}  // namespace mad
