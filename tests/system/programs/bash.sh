# bash itself: read, here-documents, substitution, coprocesses, traps, jobs and exit codes.
cat >script.bash <<'SCRIPT'
set -u
sum=0
while IFS=, read -r a b; do sum=$((sum + a * b)); done < <(for i in {1..500}; do echo "$i,$((i % 7))"; done)
echo "sum $sum"
mapfile -t lines < <(printf 'admin\nuser\nen\n')
echo "${#lines[@]} ${lines[*]}"
coproc ECHO { while read -r line; do echo "<$line>"; done; }
for word in one two three; do echo "$word" >&"${ECHO[1]}"; read -r answer <&"${ECHO[0]}"; echo "$answer"; done
pid=$ECHO_PID
exec {ECHO[1]}>&-
wait "$pid"; echo "coproc $?"
trap 'echo usr1' USR1; kill -USR1 $$
trap 'echo exit' EXIT
(exit 7); echo "subshell $?"
sleep 0.05 & wait $!; echo "job $?"
false | true; echo "pipe ${PIPESTATUS[*]}"
mkfifo quiet; read -r -t 0.05 nothing <>quiet; [ $? -gt 128 ] && echo "read timed out"
read -r -N 5 five <<<"abcdefgh"; echo "$five"
printf '%s\n' {a..e} | while read -r letter; do printf '%s' "$letter"; done; echo
eval 'exec 9<<<"here"'; cat <&9
exit 3
SCRIPT
bash script.bash || echo "bash: $?"
