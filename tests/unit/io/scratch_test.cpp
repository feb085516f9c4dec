#include "io/scratch.hpp"

#include <memory>
#include <string>

#include "io/file.hpp"
#include "support/catch.hpp"
#include "unit/resume/directory.hpp"

using mad::Fd;
using mad::ScratchDirectory;
using mad::ScratchOwner;
using mad::test::Directory;

TEST_CASE("ScratchDirectory: is gone with all that is in it, unless it is to be kept") {
  const Directory directory;
  const Fd parent = mad::open_directory(directory.path().string());
  std::string name;
  {
    ScratchDirectory scratch(parent.get(), "state", "state");
    name = scratch.name();
    CHECK(name.rfind(".state.mad-", 0) == 0);
    directory.write(name + "/a/b", "x");
  }
  CHECK_FALSE(directory.has(name));
  {
    ScratchDirectory scratch(parent.get(), "state", "state");
    name = scratch.name();
    scratch.set_fate(ScratchDirectory::Fate::kept);
  }
  CHECK(directory.has(name));
}

TEST_CASE("remove_dead_scratch: spares the living, other names and other kinds") {
  const Directory directory;
  const Fd parent = mad::open_directory(directory.path().string());
  const ScratchDirectory living(parent.get(), "state", "state");
  directory.write(living.name() + "/file", "x");
  directory.write(".state.mad-abcdefgh/deep/file", "x");
  directory.write(".state.mad-abcdefghi/file", "a longer name");
  directory.write(".other.mad-abcdefgh/file", "x");
  directory.write(".state.mad-22222222", "a file");
  mad::remove_dead_scratch(parent.get(), "state", ScratchOwner::anybody);
  CHECK(directory.has(living.name() + "/file"));
  CHECK_FALSE(directory.has(".state.mad-abcdefgh"));
  CHECK(directory.has(".state.mad-abcdefghi/file"));
  CHECK(directory.has(".other.mad-abcdefgh/file"));
  CHECK(directory.has(".state.mad-22222222"));
}

TEST_CASE("remove_tree: follows no link") {
  const Directory directory;
  const Fd parent = mad::open_directory(directory.path().string());
  directory.write("victim/file", "kept");
  directory.write("tree/file", "x");
  std::filesystem::create_directory_symlink(directory.path() / "victim",
                                            directory.path() / "tree/link");
  CHECK(mad::remove_tree(parent.get(), "tree"));
  CHECK_FALSE(directory.has("tree"));
  CHECK(directory.has("victim/file"));
  CHECK(mad::remove_tree(parent.get(), "nothing"));
}

TEST_CASE("is_mount_root: tells a mounted directory from another") {
  const Directory directory;
  CHECK_FALSE(mad::is_mount_root(mad::open_directory(directory.path().string()).get()));
  CHECK(mad::is_mount_root(mad::open_directory("/proc").get()));
  CHECK(mad::is_mount_root(mad::open_directory("/").get()));
}
