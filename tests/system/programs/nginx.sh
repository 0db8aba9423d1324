# nginx, with two workers: files, bodies, errors, and a proxy to itself. It reads connections by recv.
mkdir -p root/upload temp && seq 1 20000 >root/numbers && echo admin >root/index.html
user=$(id -un)
cat >nginx.conf <<CONF
daemon off; worker_processes 2; user $user; pid $PWD/pid; error_log $PWD/error warn;
events {}
http {
  log_format plain '\$request_method \$uri \$status \$body_bytes_sent';
  access_log $PWD/access plain;
  client_body_temp_path $PWD/temp/a; proxy_temp_path $PWD/temp/b; fastcgi_temp_path $PWD/temp/c;
  uwsgi_temp_path $PWD/temp/d; scgi_temp_path $PWD/temp/e;
  server {
    listen 127.0.0.1:$PORT; root $PWD/root;
    location /proxy/ { proxy_pass http://127.0.0.1:$PORT/; }
    location /refused { return 403; }
    location /echo { client_body_in_single_buffer on; proxy_pass http://127.0.0.1:$PORT/length; }
    location /length { return 200 "\$http_content_length\n"; }
  }
}
CONF
nginx -p "$PWD" -c "$PWD/nginx.conf" 2>/dev/null & server=$!
for i in $(seq 1 1000); do curl -s -o /dev/null "http://127.0.0.1:$PORT/refused" && break; sleep 0.05; done
for i in $(seq 1 20); do curl -s "http://127.0.0.1:$PORT/" "http://127.0.0.1:$PORT/numbers" | md5sum; done | uniq -c
curl -s "http://127.0.0.1:$PORT/proxy/numbers" | md5sum
curl -s --data-binary @root/numbers "http://127.0.0.1:$PORT/echo"
for path in missing refused '..%2f'; do curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$PORT/$path"; done
kill -QUIT "$server"; wait "$server"; echo "nginx: $?"
grep -v refused access | sort | uniq -c
