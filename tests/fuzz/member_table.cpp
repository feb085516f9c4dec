#include "manifest/member_table.hpp"

#include <optional>

#include "fuzz/fuzz.hpp"
#include "manifest/json_text.hpp"

// The table of arrays in a manifest: what is accepted lies within the npz, one behind the
// other, and is written so again.

MAD_FUZZ_TARGET(member_table) {
  using mad::fuzz::require;
  constexpr std::uint64_t k_size_bytes = std::uint64_t{1} << 40U;
  std::optional<mad::MemberTable> table;
  if (mad::fuzz::refuses([&] {
        mad::JsonCursor cursor(input, {"m.json", "manifest-invalid"});
        const auto text = cursor.read_value(mad::JsonDialect::strict);
        cursor.expect_end();
        table = mad::parse_member_table(text, k_size_bytes, "m.json");
      })) {
    return;
  }
  std::uint64_t position = 0;
  for (const mad::TableMember& member : *table) {
    require(member.first_byte() >= position, "members do not overlap");
    require(member.end_byte() >= member.first_byte(), "a member ends behind its beginning");
    require(member.end_byte() <= k_size_bytes, "a member ends within the npz");
    require(!member.name.empty() && !member.dtype.empty(), "a member has a name and a dtype");
    require(member.shape.size() <= mad::k_max_array_dimensions, "dimensions are bounded");
    position = member.end_byte();
  }
  const auto again = mad::format_member_table(*table, SIZE_MAX);
  require(again.has_value(), "a table is written where there is room");
  require(mad::parse_member_table(*again, k_size_bytes, "m.json") == *table,
          "a table written again says the same");
}
