# gcc building a program of several files, with warnings, and an error.
for i in $(seq 1 6); do
  printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint f%d(int x) { int user = x * %d; return user %% 1000; }\n' "$i" "$i" >"f$i.c"
done
{
  echo '#include <stdio.h>'
  for i in $(seq 1 6); do echo "int f$i(int);"; done
  printf '%s\n' 'int main(void) { long sum = 0; for (int i = 0; i < 1000; i++) sum += f1(i) + f2(i) + f3(i) + f4(i) + f5(i) + f6(i); printf("%ld\n", sum); return sum % 250; }'
} >main.c
for file in main f1 f2 f3 f4 f5 f6; do gcc -O2 -g -Wall -pipe -c "$file.c" -o "$file.o" -ffile-prefix-map="$PWD"=. & done; wait
md5sum ./*.o
ar rcsD libf.a f1.o f2.o f3.o f4.o f5.o f6.o && gcc main.o -L. -lf -o program && ./program || echo "program: $?"
gcc -flto -O2 main.c f?.c -o program2 && ./program2 || echo "program2: $?"
echo 'int main(void) { return nothing; }' >wrong.c
gcc wrong.c -o wrong 2>errors || echo "gcc: $?"; grep -c error: errors
