# tar, gzip and xz over pipes.
mkdir files && for i in $(seq 1 40); do seq 1 $((i * 40)) >"files/admin$i"; done
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c files | tee plain.tar | gzip -9n | tee packed.tar.gz | md5sum
gzip -dc packed.tar.gz | cmp - plain.tar && xz -T2 -c plain.tar | xz -dc | cmp - plain.tar
mkdir out && tar -xzf packed.tar.gz -C out && diff -r files out/files && find out -type f | wc -l
head -c 500 packed.tar.gz | gzip -dc >/dev/null 2>&1 || echo "gzip: $?"
