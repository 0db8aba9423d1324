# Starts nginx in a folder of its own, with TLS if the argument is "ssl".
set -e
folder=nginx-$SERVER_PORT
mkdir -p "$folder"
cp cert.pem key.pem "$folder" || true
sed -e "s/PORT/$SERVER_PORT/" -e "s/ TLS;/ $1;/" nginx.conf >"$folder/nginx.conf"
[ "$1" = ssl ] || sed -i /ssl_/d "$folder/nginx.conf"
exec nginx -p "$PWD/$folder" -c "$PWD/$folder/nginx.conf"
