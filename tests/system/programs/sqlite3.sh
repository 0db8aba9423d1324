# sqlite3: scripts from a pipe, a database on disk, an index, a dump, errors.
{
  echo 'create table t(id integer primary key, word text, n int);'
  echo "with recursive c(i) as (values(1) union all select i+1 from c where i<20000) insert into t select i, 'admin '||(i*7919%1000), i%97 from c;"
  echo 'create index words on t(word); analyze;'
  echo 'select n, count(*), sum(id) from t group by n order by n limit 10;'
  echo "select count(*) from t where word='admin 17';"
  echo 'pragma integrity_check;'
} | sqlite3 data.db
sqlite3 data.db .dump | md5sum
sqlite3 data.db .dump | sqlite3 again.db && sqlite3 again.db 'select count(*), sum(n) from t'
seq 1 5000 | sed 's/$/,en/' >rows.csv && sqlite3 data.db -cmd '.mode csv' 'create table r(a,b)' '.import rows.csv r' 'select count(*) from r'
sqlite3 data.db 'select nothing' 2>/dev/null || echo "sqlite3: $?"
