#pragma once

#include <sys/types.h>

#include <string>

#include "hash/ed25519.hpp"
#include "snapshot/publish.hpp"

namespace mad {

/// Signs the manifest that stands beside `npz_path` and returns the signature's path.
///
/// Under the directory's exclusive lock, which it takes: recovers what an interrupted writer
/// left, signs exactly the bytes that then are the manifest, and puts the signature in place
/// in one rename.  Its mode is options.mode, else that of the manifest.  The npz may be
/// missing.  Throws Error(not_found), Error(io), and what parse_manifest throws.
std::string sign_manifest(const std::string& npz_path, const SigningKey& key,
                          const PublishOptions& options);

/// Gives an npz that stays as it is another manifest; a signature of the one replaced goes with
/// it, and readers find the old pair or the new one throughout.  The caller holds the exclusive
/// lock on `directory` and has recovered.  Throws Error(io).
void replace_manifest(int directory, const std::string& npz_path, const std::string& manifest,
                      mode_t mode, Durability durability);

}  // namespace mad
