# First in the namespaces of a file: the sandbox becomes /mnt, and what the commands write elsewhere goes with them.
set -eu
sandbox=$1 file=$2
mount --bind "$sandbox" /mnt
mount -t tmpfs tmpfs /tmp
for folder in etc opt var/lib; do
    mkdir -p "/tmp/.over/$folder/upper" "/tmp/.over/$folder/work"
    over=upperdir=/tmp/.over/$folder/upper,workdir=/tmp/.over/$folder/work
    mount -t overlay overlay -o "lowerdir=/$folder,$over" "/$folder"
done
# Probes in the C library must not fire in processes outside, which map the same file.
libc=$(sed -n 's|.* \(/.*/libc\.so\.6\)$|\1|p' "/proc/$$/maps" | head -n 1)
cp "$libc" /tmp/.libc
mount --bind /tmp/.libc "$libc"
echo '127.0.0.1 localhost
127.0.0.11 node-1
127.0.0.12 node-2' >/etc/hosts
ip link set lo up
mkdir -p /opt/hook
cp /mnt/harness/programs/readhook.so /opt/hook
export PATH=/mnt/harness/bin:$PATH
unset SERVER_PORT SUDO_UID SUDO_GID
cd /mnt/repository
exec bash "/mnt/harness/scripts/$file"
