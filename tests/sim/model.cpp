#include "model.hpp"

#include <algorithm>
#include <complex>
#include <cstring>

namespace sim {

namespace {

constexpr double k_dt = 1.0 / 256.0;
constexpr double k_gravity = 9.81;
constexpr double k_table_width = 4.0;
constexpr double k_conduction = 0.2;
constexpr std::size_t k_table_cells = 16;
constexpr std::size_t k_contacts = 8;

/// A row of table/contacts: `[('time', '<f8'), ('x', '<f4'), ('number', '<i4')]`.
struct Contact {
  double time;
  float x;
  std::int32_t number;
};
static_assert(sizeof(Contact) == 16);

template <class T>
T& scalar(const Buffer& state, const char* key) {
  return state.array<T>(key).front();
}

void copy(const Buffer& from, const Buffer& to, const char* key) {
  const auto source = from.bytes(key);
  std::memcpy(to.bytes(key).data(), source.data(), source.size());
}

/// xorshift64*: a kick at each bounce, so that a lost word of state shows.
double next_random(std::uint64_t& word) {
  word ^= word >> 12U;
  word ^= word << 25U;
  word ^= word >> 27U;
  return static_cast<double>((word * 0x2545F4914F6CDD1DULL) >> 11U) / 9007199254740992.0;
}

struct Ball {
  double x, z, vx, vz;
};

/// Which of `count` cells lies under `x`.
std::size_t cell_under(double x, std::size_t count) {
  const double position = x / k_table_width * static_cast<double>(count);
  return std::min(static_cast<std::size_t>(std::max(position, 0.0)), count - 1);
}

/// The heat flows into `to`; the edges lose it to the outside.
void conduct(const Buffer& from, const Buffer& to, Extent extent) {
  const double* now = from.array<double>("heat/field").data();
  double* then = to.array<double>("heat/field").data();
  const std::uint8_t* source = from.array<std::uint8_t>("heat/source").data();
  const std::size_t columns = extent.columns;
  for (std::size_t row = 0; row < extent.rows; ++row) {
    const double* here = now + row * columns;
    const double* above = row > 0 ? here - columns : nullptr;
    const double* below = row + 1 < extent.rows ? here + columns : nullptr;
    for (std::size_t column = 0; column < columns; ++column) {
      const double up = above != nullptr ? above[column] : 0.0;
      const double down = below != nullptr ? below[column] : 0.0;
      const double left = column > 0 ? here[column - 1] : 0.0;
      const double right = column + 1 < columns ? here[column + 1] : 0.0;
      const double flow = ((up + down) + (left + right)) - 4.0 * here[column];
      then[row * columns + column] = here[column] + k_conduction * flow;
    }
  }
  for (std::size_t column = 0; column < columns; ++column) {
    then[column] += k_dt * static_cast<double>(source[column]);
  }
}

}  // namespace

Extent extent_for(std::size_t heat_bytes) {
  const std::size_t cells = std::max<std::size_t>(heat_bytes / sizeof(double), 16);
  std::size_t columns = 4;
  while (columns * columns * 4 <= cells) columns *= 2;
  return {cells / columns, columns};
}

std::vector<Field> fields_of(Extent extent) {
  return {
      {"ball/position", "'<f8'", 8, {2}},
      {"ball/velocity", "'<f8'", 8, {2}},
      {"ball/spin", "'<c16'", 16, {}},
      {"ball/bounces", "'<i8'", 8, {}},
      {"table/dents", "'<f4'", 4, {k_table_cells}},
      {"table/contacts",
       "[('time', '<f8'), ('x', '<f4'), ('number', '<i4')]",
       sizeof(Contact),
       {k_contacts}},
      {"heat/field", "'<f8'", 8, {extent.rows, extent.columns}},
      {"heat/source", "'|u1'", 1, {extent.columns}},
      {"heat/probe/mean", "'<f8'", 8, {}},
      {"random/word", "'<u8'", 8, {1}},
      {"_meta/step_count", "'<i8'", 8, {}},
  };
}

std::int64_t step_count(const Buffer& state) {
  return scalar<std::int64_t>(state, "_meta/step_count");
}

void initialise(const Buffer& state, Extent extent) {
  for (const Field& field : fields_of(extent)) {
    const auto bytes = state.bytes(field.key);
    std::memset(bytes.data(), 0, bytes.size());
  }
  const auto position = state.array<double>("ball/position");
  position[0] = 0.5;
  position[1] = 1.5;
  state.array<double>("ball/velocity")[0] = 0.75;
  scalar<std::complex<double>>(state, "ball/spin") = {1.0, 0.0};
  scalar<std::uint64_t>(state, "random/word") = 0x9E3779B97F4A7C15ULL;
  const auto source = state.array<std::uint8_t>("heat/source");
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::uint8_t>(i * 7 % 5);
  const auto field = state.array<double>("heat/field");
  for (std::size_t i = 0; i < field.size(); ++i) {
    field[i] = 20.0 + static_cast<double>(i % 97) / 97.0;
  }
}

void step(const Buffer& from, const Buffer& to, Extent extent) {
  conduct(from, to, extent);
  for (const char* key : {"heat/source", "table/dents", "table/contacts", "random/word"}) {
    copy(from, to, key);
  }
  const auto position = from.array<double>("ball/position");
  const auto velocity = from.array<double>("ball/velocity");
  Ball ball{position[0], position[1], velocity[0], velocity[1]};
  std::int64_t bounces = scalar<std::int64_t>(from, "ball/bounces");
  const std::int64_t count = step_count(from) + 1;

  ball.vz -= k_gravity * k_dt;
  ball.x += ball.vx * k_dt;
  ball.z += ball.vz * k_dt;
  if (ball.x < 0.0 || ball.x > k_table_width) {
    ball.x = ball.x < 0.0 ? -ball.x : 2.0 * k_table_width - ball.x;
    ball.vx = -ball.vx;
  }
  const auto field = to.array<double>("heat/field");
  const double mean =
      (field[cell_under(ball.x, extent.columns)] + field.front() + field.back()) / 3;
  const std::size_t cell = cell_under(ball.x, k_table_cells);
  const auto dents = to.array<float>("table/dents");
  if (ball.z < static_cast<double>(dents[cell])) {
    const double kick = next_random(scalar<std::uint64_t>(to, "random/word"));
    // A warm table springs back better; the kick keeps the ball going for ever.
    ball.z = 2.0 * static_cast<double>(dents[cell]) - ball.z;
    ball.vz = -ball.vz * (0.80 + mean * 1e-4) + kick;
    ball.vx += (kick - 0.5) * 0.25;
    dents[cell] = dents[cell] * 0.999F - 1e-5F;
    field[cell_under(ball.x, extent.columns)] += 5.0 * kick;
    to.array<Contact>("table/contacts")[static_cast<std::size_t>(bounces) % k_contacts] = {
        static_cast<double>(count) * k_dt, static_cast<float>(ball.x),
        static_cast<std::int32_t>(bounces)};
    ++bounces;
  }

  // A turn by a fixed angle; its length drifts by rounding alone, and the same way.
  const auto spin = scalar<std::complex<double>>(from, "ball/spin");
  constexpr double c = 0.99875026039496628;
  constexpr double s = 0.049979169270678331;
  scalar<std::complex<double>>(to, "ball/spin") = {spin.real() * c - spin.imag() * s,
                                                   spin.real() * s + spin.imag() * c};
  const auto new_position = to.array<double>("ball/position");
  const auto new_velocity = to.array<double>("ball/velocity");
  new_position[0] = ball.x;
  new_position[1] = ball.z;
  new_velocity[0] = ball.vx;
  new_velocity[1] = ball.vz;
  scalar<std::int64_t>(to, "ball/bounces") = bounces;
  scalar<double>(to, "heat/probe/mean") = mean;
  scalar<std::int64_t>(to, "_meta/step_count") = count;
}

}  // namespace sim
