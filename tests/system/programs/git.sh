# git: objects, packs, clones over pipes and over its own daemon, merges, and exit codes.
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='2001-01-01T00:00:00Z'
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
git init -q -b main one && cd one
for i in $(seq 1 12); do seq 1 $((i * 100)) >"file$((i % 5))"; git add .; git commit -q -m "admin $i"; done
git checkout -q -b side HEAD~5 && echo side >other && git add . && git commit -q -m side
git merge -q -m merged main && git log --oneline --graph | cat
git gc -q && git fsck --no-progress && git rev-parse HEAD
cd .. && git clone -q "file://$PWD/one" two && git -C two rev-parse HEAD
git daemon --reuseaddr --port="$PORT" --listen=127.0.0.1 --base-path="$PWD" --export-all "$PWD" 2>/dev/null &
for i in $(seq 1 1000); do git ls-remote "git://127.0.0.1:$PORT/one" >refs 2>/dev/null && break; sleep 0.05; done
cat refs; git clone -q "git://127.0.0.1:$PORT/one" three; git -C three log --format=%H | md5sum
{ kill $!; wait $! || true; } 2>/dev/null
git -C two diff --stat HEAD~3 | cat
git -C two show nothing 2>/dev/null || echo "git: $?"
git -C two archive HEAD | tar -t | sort
