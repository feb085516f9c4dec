#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace mad {

/// A key, token or signed query: bytes that no message, log or report may show.
///
/// Copies share one piece of memory, which a core dump leaves out (MADV_DONTDUMP)
/// and which is zeroed when the last of them goes.  There is no operator<<, and no
/// conversion: whoever needs the bytes says reveal().
class Secret {
 public:
  Secret() = default;
  /// Takes the bytes over and zeroes the argument.
  explicit Secret(std::string&& text);
  static Secret copy_of(std::string_view text);

  std::string_view reveal() const;
  bool empty() const { return reveal().empty(); }

  /// In constant time for texts of one length.
  friend bool operator==(const Secret& a, const Secret& b);

 private:
  class Memory;
  std::shared_ptr<const Memory> memory_;
};

/// Zeroes the bytes of `text`, its unused capacity included, and empties it.
void wipe(std::string& text) noexcept;

}  // namespace mad
