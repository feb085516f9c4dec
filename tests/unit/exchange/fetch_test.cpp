#include "exchange/fetch.hpp"

#include <fstream>

#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;
using mad::test::error_from;
using mad::test::TemporaryDirectory;

namespace {

/// Remembers what it was given; `on_write` may disturb the source meanwhile.
class Recorder final : public Delivery {
 public:
  void begin(const PairTexts& texts) override {
    events += "begin ";
    manifest = texts.manifest;
    signature = texts.signature;
    bytes.clear();
  }
  void write(Bytes more) override {
    bytes += as_text(more);
    if (on_write) on_write();
  }
  void restart() override { events += "restart "; }
  void finish() override { events += "finish"; }
  void absent(const std::string& reason, const std::string&) override { events += reason; }
  void failed(const Error&) override { events += "failed"; }

  std::string events;
  std::optional<std::string> manifest;
  std::optional<std::string> signature;
  std::string bytes;
  std::function<void()> on_write;
};

void put(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

FetchRequest request_for(const std::string& url) {
  FetchRequest request;
  request.url = url;
  request.transport.retry.first_delay = std::chrono::milliseconds(0);
  return request;
}

}  // namespace

TEST_CASE("fetch_snapshot: a pair on disk goes to its delivery, manifest first") {
  const TemporaryDirectory directory;
  put(directory.file("a.npz"), "bytes");
  put(directory.file("a.npz.manifest.json"), "manifest");
  Recorder recorder;
  Report report;
  fetch_snapshot(request_for(directory.file("a.npz")), recorder, report);
  CHECK(recorder.events == "begin finish");
  CHECK(recorder.manifest == "manifest");
  CHECK_FALSE(recorder.signature);
  CHECK(recorder.bytes == "bytes");
  put(directory.file("a.npz.manifest.json.sig"), "signature");
  fetch_snapshot(request_for(directory.file("a.npz")), recorder, report);
  CHECK(recorder.signature == "signature");
}

TEST_CASE("fetch_snapshot: an npz replaced as a whole while it is read is delivered as opened") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("a.npz");
  put(npz, "bytes");
  put(npz + ".manifest.json", "manifest");
  Recorder recorder;
  recorder.on_write = [&] {
    put(npz + ".new", "newer");
    put(npz + ".manifest.json.new", "newer manifest");
    std::filesystem::rename(npz + ".new", npz);
    std::filesystem::rename(npz + ".manifest.json.new", npz + ".manifest.json");
  };
  Report report;
  fetch_snapshot(request_for(npz), recorder, report);
  CHECK(recorder.events == "begin finish");
  CHECK(recorder.bytes == "bytes");
  CHECK(recorder.manifest == "manifest");
}

TEST_CASE("fetch_snapshot: an npz that is truncated while it is read is read again") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("a.npz");
  put(npz, "long bytes");
  put(npz + ".manifest.json", "manifest");
  Recorder recorder;
  recorder.on_write = [&] {
    if (std::filesystem::file_size(npz) > 4) std::filesystem::resize_file(npz, 4);
  };
  Report report;
  fetch_snapshot(request_for(npz), recorder, report);
  CHECK(recorder.events == "begin restart begin finish");
  CHECK(recorder.bytes == "long");
}

TEST_CASE("fetch_snapshot: a manifest that never rests is given up") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("a.npz");
  put(npz, "bytes");
  put(npz + ".manifest.json", "manifest");
  int version = 0;
  Recorder recorder;
  recorder.on_write = [&] { put(npz + ".manifest.json", std::to_string(++version)); };
  Report report;
  const Error error = error_from([&] { fetch_snapshot(request_for(npz), recorder, report); });
  CHECK(error.code == ExitCode::remote);
  CHECK(error.reason == "object-changing");
  CHECK(version == k_max_pair_restarts + 1);
  CHECK(recorder.events.find("finish") == std::string::npos);
}

TEST_CASE("fetch_snapshot: no URL is absent") {
  Recorder recorder;
  Report report;
  fetch_snapshot(request_for(""), recorder, report);
  CHECK(recorder.events == "no-url");
}

TEST_CASE("snapshot_name: the decoded last component, whatever the URL is") {
  CHECK(snapshot_name("https://h/a/b%20c.npz?x=/y.npz") == "b c.npz");
  CHECK(snapshot_name("file:///a/sim.npz") == "sim.npz");
  CHECK(snapshot_name("dir/sim.npz") == "sim.npz");
  CHECK(snapshot_name("http://bad host/sim.npz") == "snapshot.npz");
  CHECK(snapshot_name("") == "snapshot.npz");
}
