# Pipelines of coreutils: small and large reads, pipes that close early, files, and exit codes on the way.
seq 1 50000 >numbers
tac numbers | sort -n | cmp - numbers
sort -R --random-source=numbers numbers | sort -n | md5sum
cat numbers numbers - <numbers | wc -lc
yes 'admin user en' | head -n 20000 | sort -u
dd if=numbers bs=1 count=3000 status=none | md5sum
dd if=numbers bs=1M status=none | tee copy | sha256sum
cmp numbers copy
split -l 7000 numbers part. && cat part.* | cmp - numbers && ls part.* | wc -l
paste numbers copy | cut -f 2 | uniq -d | wc -l
join numbers copy 2>/dev/null | wc -l || echo "join: $?"
od -An -tx1 numbers | tail -n 1
tail -c 100 numbers | tr 0-9 a-j | base64 | base64 -d | rev | fold -w 7
head -c 0 numbers | wc -c
cat nothing 2>/dev/null || echo "cat: $?"
comm -12 numbers copy | tail -n 1
mkfifo pipe; cat pipe | md5sum & cat numbers >pipe; wait
