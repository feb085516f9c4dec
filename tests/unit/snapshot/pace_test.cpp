#include "snapshot/pace.hpp"

#include "base/deadline.hpp"
#include "base/interrupt.hpp"
#include "support/catch.hpp"

namespace mad::test {

TEST_CASE("A forecast fits once or twice into the time that is left") {
  CHECK(Forecast{2, 4}.fits_twice());
  CHECK(Forecast{2, 3.9}.fits());
  CHECK_FALSE(Forecast{2, 3.9}.fits_twice());
  CHECK_FALSE(Forecast{2, 1.9}.fits());
  CHECK(Forecast{0, 0}.fits_twice());
}

TEST_CASE("Pace forecasts nothing without a deadline, nor before there is a rate") {
  Pace idle("state", 1 << 30, 1 << 30);
  for (int i = 0; i < 1000; ++i) idle.add(1 << 20);
  CHECK_FALSE(idle.forecast());

  install_interrupt_handlers();
  set_deadline(std::chrono::milliseconds(60), DeadlineEnd::soft);
  constexpr std::uint64_t k_work = std::uint64_t{1} << 60;
  Pace pace("state", k_work / 2, k_work);
  pace.add(512);
  CHECK_FALSE(pace.forecast());
  // A tenth of what is left is soon over.
  while (!pace.forecast()) pace.add(1);
  CHECK(pace.forecast()->needed_seconds > 1e6);
  CHECK_FALSE(pace.forecast()->fits());
  pace.restart(1000);
  CHECK_FALSE(pace.forecast());
  pace.add(1);
  while (!pace.forecast()) pace.add(1);
  CHECK(pace.forecast()->needed_seconds < 1e4);
  end_deadline();
}

}  // namespace mad::test
